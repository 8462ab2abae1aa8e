"""manifest.json: the contract between the export and every runtime (docs/PACKAGE.md)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"


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
