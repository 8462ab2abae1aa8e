"""Folders that optimum-cli wrote: model.onnx beside config.json, without our manifest.

`optimum-cli export onnx --task text-generation-with-past` writes graphs with the names that our
packages have too, and a cache that every step concatenates. What the manifest would say is read
from config.json and from the graph's own inputs and outputs; there are no hashes and no self-test.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gpt2_edge.errors import PackageError
from gpt2_edge.files.manifest import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    Architecture,
    FileRecord,
    Graph,
    GraphNames,
    Manifest,
)
from gpt2_edge.files.manifest_rules import CACHE_DTYPES, LARGEST
from gpt2_edge.files.onnx_file import OnnxFile, read_onnx
from gpt2_edge.files.package_folder import GENERATION_CONFIG_FILE, Package, size_inside
from gpt2_edge.files.protobuf import OnnxFileError
from gpt2_edge.untrusted import UnreadableError, read_json_object, shown

MODEL_FILE, CONFIG_FILE, TOKENIZER_FILE = "model.onnx", "config.json", "tokenizer.json"
OUR_PRODUCER = "gpt2-edge"
_EXPORT = "export it with optimum-cli export onnx --task text-generation-with-past"
_NAMES = GraphNames(logits_to_keep=None)
# Where config.json has a size, in the order of preference, by its model_type.
_KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "gpt2": {
        "num_layers": ("n_layer",),
        "num_heads": ("n_head",),
        "hidden_size": ("n_embd",),
        "vocab_size": ("vocab_size",),
        "context_length": ("n_positions", "n_ctx"),
    },
    "gpt_neo": {
        "num_layers": ("num_layers",),
        "num_heads": ("num_heads",),
        "hidden_size": ("hidden_size",),
        "vocab_size": ("vocab_size",),
        "context_length": ("max_position_embeddings",),
    },
}


class StockPackage(Package):
    """A folder without a manifest, so without hashes to compare its files with."""

    def runtime_files(self) -> list[str]:
        return []

    def check_weights(self, file: str, locations: Iterable[str]) -> None:
        for location in locations:
            if location not in self.manifest.files:
                raise PackageError(
                    f"{self.folder / file} has weights in {shown(location)}, which is no file of "
                    "the folder"
                )

    def check_hashes(self, names: Iterable[str] | None = None) -> None:
        if names is None:  # somebody wants to know, and there is nothing to say
            raise PackageError(
                f"{self.folder} has no {MANIFEST_FILE}, so no hashes and no self-test to verify; "
                "gpt2-edge export --engine optimum --recipe fp32 writes a package that has both"
            )

    def check_content(self, name: str, content: bytes) -> None:
        pass


def is_stock_folder(folder: Path) -> bool:
    """Whether `folder` has a graph and a configuration, and no manifest."""
    # os.path's functions never raise.
    return not os.path.lexists(folder / MANIFEST_FILE) and all(
        os.path.lexists(folder / name) for name in (MODEL_FILE, CONFIG_FILE)
    )


def open_stock_folder(folder: Path) -> StockPackage:
    """The folder as a package whose manifest is made up of config.json and the graph.

    Raises PackageError in one line for another architecture, or a graph without a cache.
    """
    path = folder / MODEL_FILE
    files = _files(folder)
    config = _read_json(folder, CONFIG_FILE)
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in _KEYS:
        known = " and ".join(map(repr, _KEYS))
        raise PackageError(
            f"{folder / CONFIG_FILE} says model_type {shown(model_type)}; only {known} can be run"
        )
    graph = _graph(path)
    if graph.producer == OUR_PRODUCER:
        raise PackageError(
            f"{folder} has no {MANIFEST_FILE}, which belongs to its {MODEL_FILE} that gpt2-edge "
            "export wrote; copy or export the package again"
        )
    architecture = _architecture(config, folder / CONFIG_FILE)
    _check(graph, architecture, path)
    special = dict(config)
    if GENERATION_CONFIG_FILE in files:
        special |= _read_json(folder, GENERATION_CONFIG_FILE)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=str(config.get("_name_or_path") or folder.absolute().name),
        created_by=graph.producer or "unknown",
        architecture=architecture,
        graph=Graph(
            file=MODEL_FILE,
            flavour="optimum",
            cache="concat",
            cache_dtype=graph.inputs[_NAMES.past(0)[0]].dtype,
            min_onnxruntime="1.18",
            names=GraphNames(
                position_ids=_NAMES.position_ids if _NAMES.position_ids in graph.required else None,
                logits_to_keep=None,
            ),
        ),
        recipe={"name": "unknown"},
        tokenizer=TOKENIZER_FILE if TOKENIZER_FILE in files else None,
        bos_token_id=next(iter(_token_ids(special.get("bos_token_id"), architecture)), None),
        eos_token_ids=_token_ids(special.get("eos_token_id"), architecture),
        files=files,
    )
    return StockPackage(folder, manifest)


def _files(folder: Path) -> dict[str, FileRecord]:
    """The regular files of the folder; those that are read must be such, and no links out of it."""
    read = [MODEL_FILE, CONFIG_FILE]
    read += [
        name for name in (GENERATION_CONFIG_FILE, TOKENIZER_FILE) if os.path.lexists(folder / name)
    ]
    records = {name: FileRecord(size_inside(folder, name), "") for name in read}
    try:
        others = sorted({entry.name for entry in folder.iterdir()} - records.keys())
    except OSError as error:
        raise PackageError(f"{folder} cannot be read ({error.strerror})") from error
    for name in others:
        try:
            records[name] = FileRecord(size_inside(folder, name), "")
        except PackageError:  # a folder, or a link out of this one: nothing that is read
            continue
    return dict(sorted(records.items()))


def _graph(path: Path) -> OnnxFile:
    try:
        with path.open("rb") as file:
            return read_onnx(file)
    except OnnxFileError as error:
        raise PackageError(f"{path} cannot be loaded: {error}") from error
    except OSError as error:
        raise PackageError(f"{path} cannot be read ({error.strerror})") from error


def _architecture(config: dict[str, Any], path: Path) -> Architecture:
    sizes = {}
    names = _KEYS[config["model_type"]]
    for name, keys in names.items():
        value = next((config[key] for key in keys if config.get(key) is not None), None)
        if type(value) is not int or not 1 <= value <= LARGEST[name]:
            raise PackageError(
                f"{path} says {keys[0]} = {shown(value)}; expected a whole number from 1 to "
                f"{LARGEST[name]:,}"
            )
        sizes[name] = value
    width, heads = sizes["hidden_size"], sizes["num_heads"]
    if width % heads:
        raise PackageError(
            f"{path} says {names['hidden_size'][0]} {width}, which {names['num_heads'][0]} {heads} "
            "does not divide"
        )
    return Architecture(head_size=width // heads, **sizes)


def _check(graph: OnnxFile, architecture: Architecture, path: Path) -> None:
    """Raise PackageError unless the graph is one with past and presents, as config.json says.

    What graph_check.py would find too is here because there its message would speak of a manifest,
    which nobody wrote.
    """
    there = graph.required
    past = [name for layer in range(architecture.num_layers) for name in _NAMES.past(layer)]
    present = [name for layer in range(architecture.num_layers) for name in _NAMES.present(layer)]
    if past[0] not in there or present[0] not in graph.outputs:
        raise PackageError(f"{path} has no key-value cache; {_EXPORT}")
    known = {_NAMES.input_ids, _NAMES.attention_mask, *past}
    for name in (*sorted(known - there.keys()), *sorted({*present} - {*graph.outputs})):
        raise PackageError(f"{path} has no {name}, which a graph of {CONFIG_FILE} has; {_EXPORT}")
    for name in there.keys() - known - {_NAMES.position_ids}:
        layer = re.search(r"\.(\d+)\.", name)
        more = f"{CONFIG_FILE} says n_layer {architecture.num_layers}" if layer else _EXPORT
        raise PackageError(f"{path} needs the input {shown(name)}, which is not known here; {more}")
    if there[past[0]].dtype not in CACHE_DTYPES["concat"]:
        raise PackageError(f"{path} has a cache of {there[past[0]].dtype}; expected float32")
    logits = graph.outputs.get(_NAMES.logits)
    if logits is None or logits.dtype != "float32":
        raise PackageError(
            f"{path} has {logits.dtype if logits else 'nothing'} as its output {_NAMES.logits}; "
            "expected float32: export it without --dtype fp16"
        )
    heads = (architecture.num_heads, architecture.head_size)
    for shape in (there[name].shape for name in past):
        if shape is None or len(shape) != 4 or (shape[1], shape[3]) != heads:
            raise PackageError(
                f"{path} has {shown(shape and list(shape))} as its cache, {CONFIG_FILE} says "
                f"{heads[0]} heads of {heads[1]}"
            )
    vocab = logits.shape[-1] if logits.shape else None
    if isinstance(vocab, int) and vocab != architecture.vocab_size:
        raise PackageError(
            f"{path} has logits of {vocab} tokens, {CONFIG_FILE} says vocab_size "
            f"{architecture.vocab_size}"
        )
    table = graph.positions
    if table and isinstance(table[0], int) and table[0] < architecture.context_length:
        raise PackageError(
            f"{path} has {table[0]} positions, {CONFIG_FILE} says {architecture.context_length}"
        )


def _token_ids(value: Any, architecture: Architecture) -> tuple[int, ...]:
    ids = value if isinstance(value, list) else [value]
    # Some fine-tunes keep the 50256 of the original beside a smaller vocabulary.
    return tuple(i for i in ids if type(i) is int and 0 <= i < architecture.vocab_size)


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        return read_json_object(folder / name)
    except (FileNotFoundError, UnreadableError) as error:
        raise PackageError(f"{folder / name} cannot be read as JSON ({error})") from error
