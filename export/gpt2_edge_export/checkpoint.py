"""A GPT-2 checkpoint in one canonical form, wherever it came from.

`open_checkpoint` takes a Hugging Face folder, a nanoGPT ckpt.pt or a hub name, checks that every
tensor is there in the right shape, and reads none of them: `Checkpoint.tensor` loads one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.config import GPT2Config, parse_config, read_json
from gpt2_edge_export.hub import download
from gpt2_edge_export.nanogpt import open_nanogpt
from gpt2_edge_export.readers import TensorReader, as_float32, open_folder_weights


@dataclass(frozen=True)
class Checkpoint:
    """Config, tensors and tokenizer files of one GPT-2.

    `raw_config` is the Hugging Face config.json, read or made up; `folder` holds the files that
    came beside the weights.
    """

    source: str
    config: GPT2Config
    raw_config: dict[str, Any]
    folder: Path
    _reader: TensorReader
    _names: dict[str, str]

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """The tensor `name` (canonical, see GPT2Config.tensor_shapes) as finite float32."""
        return as_float32(self._reader.read(self._names[name]), name, self.source)


def open_checkpoint(source: str | Path, activation_function: str | None = None) -> Checkpoint:
    """Open the checkpoint `source`: a folder, a nanoGPT .pt file, or a name on the hub.

    `activation_function` overrides what the checkpoint says. Raises CheckpointError in one line
    for anything that cannot be exported.
    """
    path = Path(source)
    if path.is_file():
        if path.suffix != ".pt":
            raise CheckpointError(
                f"{path} is a file; give the folder that holds config.json, or a nanoGPT .pt file"
            )
        raw_config, reader = open_nanogpt(path, activation_function)
        return _checked(str(source), path, raw_config, path.parent, reader)
    if path.is_dir():
        folder = path
    elif _looks_like_path(str(source)):
        raise CheckpointError(f"{source}: no such folder")
    else:
        folder = download(str(source))
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json; is it a Hugging Face checkpoint?")
    raw_config = read_json(folder / "config.json")
    if activation_function is not None:
        raw_config["activation_function"] = activation_function
    # The config is judged before the weights, so that another model is called by its name.
    parse_config(raw_config, folder / "config.json")
    reader = open_folder_weights(folder)
    return _checked(str(source), folder / "config.json", raw_config, folder, reader)


def _checked(
    source: str, where: Path, raw_config: dict[str, Any], folder: Path, reader: TensorReader
) -> Checkpoint:
    config = parse_config(raw_config, where)
    names: dict[str, str] = {}
    for name, expected in config.tensor_shapes().items():
        found = next((key for key in (f"transformer.{name}", name) if key in reader.shapes), None)
        if found is None:
            raise CheckpointError(f"{source}: tensor {name} is missing from the weights")
        if reader.shapes[found] != expected:
            raise CheckpointError(
                f"{source}: tensor {name} has shape {list(reader.shapes[found])}; "
                f"config.json makes it {list(expected)}"
            )
        names[name] = found
    return Checkpoint(source, config, raw_config, folder, reader, names)


def _looks_like_path(source: str) -> bool:
    """Whether `source` cannot be a hub name, which is `name` or `user/name`."""
    return source.startswith((".", "/", "~")) or source.count("/") > 1 or "\\" in source
