"""A checkpoint in one canonical form, GPT-2's, wherever it came from.

`open_checkpoint` takes a Hugging Face folder, a nanoGPT ckpt.pt or a hub name, checks that every
tensor is there in the right shape, and reads none of them: `Checkpoint.tensor` loads one at a time.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import one_line, shown
from gpt2_edge_export.checkpoint.activations import check_activation
from gpt2_edge_export.checkpoint.adapters.gpt_neo import GPT_NEO
from gpt2_edge_export.checkpoint.adapters.nanogpt import open_nanogpt
from gpt2_edge_export.checkpoint.config import GPT2Config, read_json
from gpt2_edge_export.checkpoint.family import GPT2, Family, ReadConfig, family_of
from gpt2_edge_export.checkpoint.hub import download
from gpt2_edge_export.checkpoint.other_formats import (
    other_file,
    other_weights,
    refuse_adapter,
)
from gpt2_edge_export.checkpoint.readers import TensorReader, as_float32, open_folder_weights
from gpt2_edge_export.checkpoint.tensor_names import TensorNames, find_names, some

FAMILIES = (GPT2, GPT_NEO)
_FRAMEWORK = re.compile("^(TF|Flax)")  # before the names of transformers' classes
_NANOGPT_SUFFIXES = (".pt", ".pth")


@dataclass(frozen=True)
class Checkpoint:
    """Config, tensors and tokenizer files of one model.

    `raw_config` is the Hugging Face config.json, read or made up, with the family's own names for
    all sizes; `folder` holds the files that came beside the weights; `notes` is what the user
    should know. `as_transformers_saves`: whether transformers finds the model and all its tensors
    in `folder` by itself.
    """

    source: str
    config: GPT2Config
    raw_config: dict[str, Any]
    folder: Path
    _reader: TensorReader
    _names: dict[str, str]
    notes: tuple[str, ...] = ()
    as_transformers_saves: bool = True
    family: Family = GPT2

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """The tensor `name` (canonical, see GPT2Config.tensor_shapes) as finite float32."""
        held = self._names[name]
        return as_float32(
            self._reader.read(held), shown(self._reader.in_file(held)[0]), self.source
        )


def open_checkpoint(source: str | Path, activation_function: str | None = None) -> Checkpoint:
    """Open the checkpoint `source`: a folder, a nanoGPT .pt file, or a name on the hub.

    `activation_function` overrides what the checkpoint says. Raises CheckpointError in one line
    for anything that cannot be exported.
    """
    if activation_function is not None:
        check_activation(activation_function, "the activation function is")
    path = Path(source)
    mode = _mode(path)
    if mode and stat.S_ISDIR(mode) and str(source):
        folder = path
    elif mode and stat.S_ISREG(mode):
        if path.suffix.lower() not in _NANOGPT_SUFFIXES:
            raise CheckpointError(f"{path} {other_file(path)}")
        raw_config, reader = open_nanogpt(path, activation_function)
        read = GPT2.read_config(raw_config, path)
        return _checked(str(source), read, path.parent, reader, GPT2)
    elif mode and str(source):
        raise CheckpointError(f"{path} is neither a file nor a folder")
    elif _looks_like_path(str(source)):
        raise CheckpointError(f"{str(source) or shown('')}: no such folder")
    else:
        folder = download(str(source))
    return _open_folder(str(source), folder, activation_function)


def _open_folder(source: str, folder: Path, activation_function: str | None) -> Checkpoint:
    refuse_adapter(folder)
    where = folder / "config.json"
    if not os.path.lexists(where):
        raise CheckpointError(
            f"{folder} has no config.json; is it a Hugging Face checkpoint?" + other_weights(folder)
        )
    raw = read_json(where)
    if activation_function is not None:
        raw["activation_function"] = activation_function
    family = family_of(raw, where, FAMILIES)
    # The config is judged before the weights, so that another model is called by its name.
    family.read_config(raw, where)
    reader = family.tensors(open_folder_weights(folder), source)
    positions = [key for key in reader.shapes if key.endswith("wpe.weight")]
    rows = reader.shapes[positions[0]][0] if positions and reader.shapes[positions[0]] else None
    checkpoint = _checked(source, family.read_config(raw, where, rows), folder, reader, family)
    if raw.get("model_type") is None:  # transformers goes by the folder's name then
        return dataclasses.replace(checkpoint, as_transformers_saves=False)
    return checkpoint


def _checked(
    source: str, read: ReadConfig, folder: Path, reader: TensorReader, family: Family
) -> Checkpoint:
    config, notes = read.config, read.notes
    layers_key = read.keys.get("n_layer", "n_layer")
    try:
        given = [*reader.shapes, *reader.faults]  # in the file's order, for messages
        found = find_names(given, config, source, layers_key, lambda name: reader.in_file(name)[0])
        _check_tensors(found, config, reader, source)
    except CheckpointError as error:
        # What was not said may be why it does not fit.
        raise CheckpointError("; ".join([str(error), *notes])) from error
    notes = [*notes, *_notes(found, read, reader, family)]
    return Checkpoint(
        source=source,
        config=config,
        raw_config=read.written,
        folder=folder,
        _reader=reader,
        _names=found.names,
        notes=tuple(map(one_line, notes)),
        as_transformers_saves=found.as_transformers_saves,
        family=family,
    )


def _check_tensors(
    found: TensorNames, config: GPT2Config, reader: TensorReader, source: str
) -> None:
    for name, expected in config.tensor_shapes().items():
        held = found.names[name]
        if held in reader.faults:
            own, _ = reader.in_file(held)
            raise CheckpointError(f"{source}: {shown(own)} {reader.faults[held]}; expected floats")
        if reader.shapes[held] != expected:
            own, shape = reader.in_file(held, reader.shapes[held])
            _, wanted = reader.in_file(held, expected)
            raise CheckpointError(
                f"{source}: tensor {shown(own)} has shape {shown(list(shape))}; "
                f"config.json makes it {list(wanted)}"
            )


def _notes(found: TensorNames, read: ReadConfig, reader: TensorReader, family: Family) -> list[str]:
    """What an export of these weights should tell its user."""
    config = read.config
    notes = []
    if found.layers > config.n_layer:
        notes.append(
            f"config.json says {read.keys.get('n_layer', 'n_layer')} {config.n_layer}, the weights "
            f"hold {found.layers} layers: the others are left out, as in transformers"
        )
    architectures = read.written.get("architectures")
    others = [
        name
        for name in (architectures if isinstance(architectures, list) else [])
        if not isinstance(name, str) or _FRAMEWORK.sub("", name) not in family.language_models
    ]
    if others:
        notes.append(
            f"config.json says architectures {some(others)}: a model that was trained "
            "for something else may write poor text"
        )
    if found.left_over:
        notes.append(
            "left out, since a model that writes text has none of it: "
            + some(reader.in_file(name)[0] for name in found.left_over)
        )
    if config.tie_word_embeddings and found.head is not None and _differs(found, reader):
        notes.append(
            "lm_head.weight is not wte.weight, though config.json ties them "
            "(tie_word_embeddings): it is left out, as in transformers; set tie_word_embeddings "
            "to false to export it"
        )
    return notes


def _differs(found: TensorNames, reader: TensorReader) -> bool:
    head, table = found.head, found.names["wte.weight"]
    if head is None or head in reader.faults or reader.shapes[head] != reader.shapes[table]:
        return True
    return not reader.same(head, table)


def _mode(path: Path) -> int:
    """The st_mode of `path`; 0 where nothing is there."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return 0
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def _looks_like_path(source: str) -> bool:
    """Whether `source` cannot be a hub name, which is `name` or `user/name`."""
    parts = source.split("/")
    odd = len(parts) > 2 or not all(parts) or "\\" in source or "\0" in source
    return odd or source.startswith((".", "~"))
