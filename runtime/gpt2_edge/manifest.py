"""manifest.json: the contract between the export and every runtime (docs/PACKAGE.md)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gpt2_edge.errors import PackageError

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"

T = TypeVar("T")


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
class Graph:
    """The ONNX graph. `cache` is "shared" (one buffer is past and present) or "concat"."""

    file: str
    flavour: str
    cache: str
    cache_dtype: str
    min_onnxruntime: str
    names: GraphNames


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
    source: dict[str, Any] = field(default_factory=dict)

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
        return _parse(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise PackageError(f"{path} is incomplete ({reason}); copy the package again") from error


def _parse(raw: dict[str, Any]) -> Manifest:
    graph = _known(Graph, raw["graph"]) | {"names": _build(GraphNames, raw["graph"]["names"])}
    if graph["cache"] not in ("shared", "concat"):
        raise ValueError(f"unknown cache {graph['cache']!r}")
    test = raw.get("self_test")
    values = _known(Manifest, raw) | {
        "architecture": _build(Architecture, raw["architecture"]),
        "graph": Graph(**graph),
        "eos_token_ids": tuple(raw["eos_token_ids"]),
        "files": {name: _build(FileRecord, record) for name, record in raw["files"].items()},
        "self_test": test
        and _build(
            SelfTest,
            test
            | {
                "prompt_ids": tuple(test["prompt_ids"]),
                "expected_ids": tuple(test["expected_ids"]),
            },
        ),
    }
    return Manifest(**values)


def _build(kind: type[T], raw: dict[str, Any]) -> T:
    return kind(**_known(kind, raw))


def _known(kind: type[Any], raw: dict[str, Any]) -> dict[str, Any]:
    """The keys that `kind` has: later minor versions may add others."""
    return {key: value for key, value in raw.items() if key in kind.__dataclass_fields__}
