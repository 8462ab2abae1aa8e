"""What every value of a manifest must be, before any of them is used.

The graph and the weights have their say later (graph/check.py); here a number is only kept from
being absurd, a name from leading elsewhere, and values from contradicting each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath

from gpt2_edge.files.manifest import Architecture, Graph, Manifest, SelfTest
from gpt2_edge.untrusted import shown

UPGRADE = "upgrade gpt2-edge, or export the model with this version"
# What a graph of each flavour does with its cache, and what the cache may hold.
_CACHE_OF_FLAVOUR = {"fused": "shared", "portable": "concat", "optimum": "concat", "static": "host"}
CACHE_DTYPES = {
    "shared": ("float32", "float16", "int8"),
    "concat": ("float32", "float16"),
    "host": ("float32",),
}
# A hundred times what any GPT-2 has, and small enough to count to.
LARGEST = {
    "num_layers": 1_000,
    "num_heads": 10_000,
    "head_size": 65_536,
    "hidden_size": 1_000_000,
    "vocab_size": 10_000_000,
    "context_length": 10_000_000,
}
_LAYER = "{i}"


class NewerError(ValueError):
    """A value that a later version may know."""


def check_manifest(manifest: Manifest) -> None:
    """Raise ValueError, saying what is wrong, or NewerError for what a later version may know."""
    check_architecture(manifest.architecture)
    _check_graph(manifest.graph, manifest.architecture)
    if type(manifest.recipe.get("name")) is not str:
        raise ValueError("manifest.recipe.name is missing, or no text")
    for name, record in manifest.files.items():
        where = f"manifest.files[{shown(name)}]"
        if not is_plain_name(name):
            raise ValueError(f"{where} is outside the package")
        if record.bytes < 0:
            raise ValueError(f"{where}.bytes is {shown(record.bytes)}")
        if not re.fullmatch("[0-9a-f]{64}", record.sha256):
            raise ValueError(f"{where}.sha256 is {shown(record.sha256)}, not 64 digits of 0-9a-f")
    chunk_file = manifest.graph.static.chunk_file if manifest.graph.static else None
    for used in (manifest.graph.file, chunk_file, manifest.tokenizer or None):
        if used is not None and used not in manifest.files:
            raise ValueError(f"it uses {shown(used)} but does not list it in files")
    vocabulary = manifest.architecture.vocab_size
    bos = () if manifest.bos_token_id is None else (manifest.bos_token_id,)
    _check_ids(bos, vocabulary, "bos_token_id")
    _check_ids(manifest.eos_token_ids, vocabulary, "eos_token_ids")
    if manifest.self_test is not None:
        _check_self_test(manifest.self_test, manifest.architecture)


def check_architecture(architecture: Architecture) -> None:
    """Raise ValueError unless every size is between 1 and what LARGEST says."""
    for name, largest in LARGEST.items():
        value = getattr(architecture, name)
        if not 1 <= value <= largest:
            raise ValueError(
                f"manifest.architecture.{name} is {shown(value)}; expected 1 to {largest:,}"
            )
    heads = architecture.num_heads * architecture.head_size
    if architecture.hidden_size > heads:
        raise ValueError(
            f"manifest.architecture.hidden_size is {architecture.hidden_size}, num_heads x "
            f"head_size only {heads}"
        )


def is_plain_name(name: str) -> bool:
    """Whether `name` is a file's own name on every system: no path, no drive, no NUL."""
    return (
        PurePosixPath(name).name == name == PureWindowsPath(name).name
        and name not in ("", ".", "..")
        and "\0" not in name
    )


def _check_graph(graph: Graph, architecture: Architecture) -> None:
    for key, value, known in (
        ("flavour", graph.flavour, tuple(_CACHE_OF_FLAVOUR)),
        ("cache", graph.cache, tuple(CACHE_DTYPES)),
        ("cache_dtype", graph.cache_dtype, CACHE_DTYPES["shared"]),
    ):
        if value not in known:
            raise NewerError(f"graph.{key} {shown(value)}; this gpt2-edge knows {', '.join(known)}")
    if graph.cache != _CACHE_OF_FLAVOUR[graph.flavour]:
        raise ValueError(
            f"manifest.graph.flavour is {graph.flavour}, which does not go with the cache "
            f"{graph.cache}"
        )
    if graph.cache_dtype not in CACHE_DTYPES[graph.cache]:
        raise ValueError(
            f"manifest.graph.cache_dtype is {graph.cache_dtype}, which does not go with the cache "
            f"{graph.cache}"
        )
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}", graph.min_onnxruntime):
        raise ValueError(
            f"manifest.graph.min_onnxruntime is {shown(graph.min_onnxruntime)}, which is no version"
        )
    _check_static(graph, architecture)
    _check_names(graph)


def _check_static(graph: Graph, architecture: Architecture) -> None:
    static = graph.static
    if (graph.cache == "host") != (static is not None):
        raise ValueError(f"manifest.graph.static does not go with the cache {graph.cache}")
    if static is None:
        return
    largest = LARGEST["context_length"]
    if not architecture.context_length <= static.past <= largest:
        raise ValueError(
            f"manifest.graph.static.past is {shown(static.past)}; expected the context_length "
            f"{architecture.context_length}"
        )
    if not 1 <= static.chunk <= static.past:
        raise ValueError(
            f"manifest.graph.static.chunk is {shown(static.chunk)}; expected 1 to past"
        )
    if graph.names.position_ids is None:
        raise ValueError("manifest.graph.names.position_ids is null, which no static graph has")


def _check_names(graph: Graph) -> None:
    """Inputs and outputs differ from each other, those of the cache from layer to layer."""
    names = graph.names
    inputs = {
        "input_ids": names.input_ids,
        "attention_mask": names.attention_mask,
        "position_ids": names.position_ids,
        "logits_to_keep": names.logits_to_keep,
        "past_key": names.past_key,
        "past_value": names.past_value,
    }
    outputs = {
        "logits": names.logits,
        "present_key": names.present_key,
        "present_value": names.present_value,
    }
    for group in (inputs, outputs):
        seen: dict[str, str] = {}
        for key, name in group.items():
            if name is None:
                continue
            where = f"manifest.graph.names.{key} is {shown(name)}"
            if not name:
                raise ValueError(where)
            of_layers = key.startswith(("past", "present"))
            if name.count(_LAYER) != of_layers:
                expected = "once" if of_layers else "never"
                raise ValueError(f"{where}; {_LAYER} must stand in it {expected}")
            if name in seen:
                raise ValueError(f"{where}, which is {seen[name]} already")
            seen[name] = key


def _check_self_test(test: SelfTest, architecture: Architecture) -> None:
    where, vocabulary = "self_test", architecture.vocab_size
    if not 1 <= len(test.prompt_ids) <= architecture.context_length:
        raise ValueError(f"manifest.{where}.prompt_ids has {len(test.prompt_ids)} tokens")
    if len(test.prompt_ids) + len(test.expected_ids) > architecture.context_length + 1:
        raise ValueError(f"manifest.{where}.expected_ids do not fit the context behind the prompt")
    _check_ids(test.prompt_ids, vocabulary, f"{where}.prompt_ids")
    _check_ids(test.expected_ids, vocabulary, f"{where}.expected_ids")
    for key in test.logits:
        if not re.fullmatch("0|[1-9][0-9]{0,8}", key) or int(key) >= vocabulary:
            raise ValueError(
                f"manifest.{where}.logits has {shown(key)}, which is no id in the vocabulary of "
                f"{vocabulary}"
            )
    if test.tolerance < 0:
        raise ValueError(f"manifest.{where}.tolerance is {test.tolerance}")


def _check_ids(ids: Iterable[int], vocabulary: int, where: str) -> None:
    wrong = next((i for i in ids if not 0 <= i < vocabulary), None)
    if wrong is not None:
        raise ValueError(
            f"manifest.{where} has {shown(wrong)}, which is outside the vocabulary of {vocabulary}"
        )
