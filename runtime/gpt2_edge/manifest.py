"""manifest.json: the contract between the export and every runtime (docs/PACKAGE.md)."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpt2_edge.errors import PackageError
from gpt2_edge.manifest_rules import UPGRADE, NewerError, check_manifest
from gpt2_edge.typed_json import typed
from gpt2_edge.untrusted import UnreadableError, read_json_object, shown

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
_COPY = "copy the package again"


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
    """Names of the graph's inputs and outputs; `{i}` stands for the layer's number.

    None: the graph has no such input.
    """

    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    position_ids: str | None = "position_ids"
    past_key: str = "past_key_values.{i}.key"
    past_value: str = "past_key_values.{i}.value"
    logits_to_keep: str | None = "logits_to_keep"
    logits: str = "logits"
    present_key: str = "present.{i}.key"
    present_value: str = "present.{i}.value"

    def past(self, layer: int) -> tuple[str, str]:
        """The inputs that take a layer's keys and values."""
        return in_layer(self.past_key, layer), in_layer(self.past_value, layer)

    def present(self, layer: int) -> tuple[str, str]:
        """The outputs that return a layer's keys and values."""
        return in_layer(self.present_key, layer), in_layer(self.present_value, layer)


def in_layer(pattern: str, layer: int) -> str:
    """`pattern` with the layer's number; not str.format, which a name could look into."""
    return pattern.replace("{i}", str(layer))


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
    what a step returns into its own); `cache_dtype`, a NumPy name, is what it holds.
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
    """The manifest of the package in `folder`, each value in its bounds.

    Raises PackageError in one line where there is none, where it is damaged, or where it is newer
    than this runtime.
    """
    path = folder / MANIFEST_FILE
    if not os.path.isdir(folder):  # noqa: PTH112 (Path.is_dir may raise)
        raise PackageError(f"{folder}: no such package folder")
    try:
        raw = read_json_object(path)
    except FileNotFoundError as error:
        raise PackageError(
            f"{folder} has no {MANIFEST_FILE}; is it a package that gpt2-edge export wrote?"
        ) from error
    except UnreadableError as error:
        raise PackageError(f"{path} cannot be read as JSON ({error}); {_COPY}") from error
    version = raw.get("format_version")
    if type(version) is not int or version < 1:
        said = "no format_version" if version is None else f"format_version {shown(version)}"
        raise PackageError(f"{path} has {said}; {_COPY}")
    if version > FORMAT_VERSION:
        raise PackageError(
            f"{path} has format version {shown(version)}; this gpt2-edge reads up to "
            f"{FORMAT_VERSION}: {UPGRADE}"
        )
    try:
        manifest: Manifest = typed(Manifest, raw, "manifest")
        check_manifest(manifest)
    except NewerError as error:
        raise PackageError(f"{path} has {error}: {UPGRADE}") from error
    except ValueError as error:
        raise PackageError(f"{path} is damaged ({error}); {_COPY}") from error
    return manifest
