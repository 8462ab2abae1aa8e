"""manifest.json: the contract between the export and every runtime (docs/PACKAGE.md)."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpt2_edge.errors import PackageError

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
CACHE_KINDS = ("shared", "concat", "host")
CACHE_DTYPES = ("float32", "float16", "int8")


@dataclass(frozen=True)
class Architecture:
    """Sizes that a runtime needs; `head_size` is that of the cache, padding included."""

    num_layers: int
    num_heads: int
    head_size: int
    hidden_size: int
    vocab_size: int
    context_length: int


@dataclass(frozen=True)
class GraphNames:
    """Names of the graph's inputs and outputs; `{i}` stands for the layer's number."""

    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    position_ids: str | None = "position_ids"
    past_key: str = "past_key_values.{i}.key"
    past_value: str = "past_key_values.{i}.value"
    logits_to_keep: str | None = "logits_to_keep"
    logits: str = "logits"
    present_key: str = "present.{i}.key"
    present_value: str = "present.{i}.value"


@dataclass(frozen=True)
class StaticGraph:
    """Sizes of a graph of fixed shapes, and its second file, which takes `chunk` tokens at once.

    The cache has room for `past` tokens.
    """

    past: int
    chunk: int
    chunk_file: str


@dataclass(frozen=True)
class Graph:
    """The ONNX graph.

    `cache` is "shared" (one buffer is past and present), "concat", or "host" (the client writes
    what a step returns into its own); `cache_dtype`, one of CACHE_DTYPES, is what it holds.
    `static`: only for graphs of fixed shapes.
    """

    file: str
    flavour: str
    cache: str
    cache_dtype: str
    min_onnxruntime: str
    names: GraphNames
    static: StaticGraph | None = None


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 of one file of the package."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class SelfTest:
    """What the package must compute: greedy continuation of a prompt, and some of its logits.

    `expected_ids` were chosen with a margin between the first and the second logit that no
    device's rounding overcomes. `logits` maps token ids (as strings, it is JSON) to the logits
    after the prompt, each within `tolerance`.
    """

    prompt_ids: tuple[int, ...]
    expected_ids: tuple[int, ...]
    logits: dict[str, float]
    tolerance: float


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json."""

    format_version: int
    name: str
    created_by: str
    architecture: Architecture
    graph: Graph
    recipe: dict[str, Any]
    tokenizer: str | None
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]
    files: dict[str, FileRecord]
    self_test: SelfTest | None = None
    quality: dict[str, Any] | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the package in `folder`.

    Raises PackageError in one line where there is none, where it is damaged, or where its format
    is newer than this runtime.
    """
    path = folder / MANIFEST_FILE
    if not folder.is_dir():
        raise PackageError(f"{folder}: no such package folder")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PackageError(
            f"{folder} has no {MANIFEST_FILE}; is it a package that gpt2-edge export wrote?"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PackageError(
            f"{path} cannot be read as JSON ({error}); copy the package again"
        ) from error
    if not isinstance(raw, dict) or not isinstance(raw.get("format_version"), int):
        raise PackageError(f"{path} has no format_version; copy the package again")
    if raw["format_version"] > FORMAT_VERSION:
        raise PackageError(
            f"{path} has format version {raw['format_version']}; this gpt2-edge reads up to "
            f"{FORMAT_VERSION}: upgrade gpt2-edge, or export the model with this version"
        )
    try:
        manifest: Manifest = _typed(Manifest, raw, "manifest")
        if manifest.graph.cache not in CACHE_KINDS:
            raise ValueError(f"graph.cache is {manifest.graph.cache!r}")
    except ValueError as error:
        raise PackageError(f"{path} is damaged ({error}); copy the package again") from error
    if manifest.graph.cache_dtype not in CACHE_DTYPES:
        raise PackageError(
            f"{path} has graph.cache_dtype {manifest.graph.cache_dtype!r}; this gpt2-edge knows "
            f"{', '.join(CACHE_DTYPES)}: upgrade gpt2-edge, or export the model with this version"
        )
    return manifest


def _typed(hint: Any, value: Any, where: str) -> Any:
    """`value` out of JSON as the type `hint`; ValueError, naming `where`, if it is another."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        chosen = type(None) if value is None else arguments[0]
        if chosen in arguments:
            return None if value is None else _typed(chosen, value, where)
    elif hint is Any:
        return value
    elif origin is tuple and isinstance(value, list):
        return tuple(_typed(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    elif origin is dict and isinstance(value, dict):
        return {key: _typed(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    elif hint is float and type(value) in (int, float):
        return float(value)
    elif type(value) is hint:  # not isinstance: JSON's true is no number
        return value
    raise ValueError(f"{where} is {value!r}")


def _dataclass(kind: type[Any], value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {value!r}")
    hints = typing.get_type_hints(kind)
    arguments = {}
    for entry in dataclasses.fields(kind):  # other keys may come with later minor versions
        if entry.name in value:
            arguments[entry.name] = _typed(
                hints[entry.name], value[entry.name], f"{where}.{entry.name}"
            )
        elif entry.default is entry.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where}.{entry.name} is missing")
    return kind(**arguments)
