"""Folders that optimum-cli wrote: model.onnx beside config.json, without our manifest.

`optimum-cli export onnx --task text-generation-with-past` writes graphs with the names that our
packages have too, and a cache that every step concatenates. What the manifest would say is read
from config.json and from the graph's own inputs and outputs; there are no hashes and no self-test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort

from gpt2_edge.errors import PackageError
from gpt2_edge.manifest import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    Architecture,
    FileRecord,
    Graph,
    GraphNames,
    Manifest,
)
from gpt2_edge.package import Package

MODEL_FILE, CONFIG_FILE, TOKENIZER_FILE = "model.onnx", "config.json", "tokenizer.json"
OUR_PRODUCER = "gpt2-edge"
_EXPORT = "export it with optimum-cli export onnx --task text-generation-with-past"
_CACHE_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}
_NAMES = GraphNames(logits_to_keep=None)
_ERRORS_ONLY = 3


class StockPackage(Package):
    """A folder without a manifest, so without hashes to compare its files with."""

    def runtime_files(self) -> list[str]:
        return []

    def check_hashes(self, names: Iterable[str] | None = None) -> None:
        if names is None:  # somebody wants to know, and there is nothing to say
            raise PackageError(
                f"{self.folder} has no {MANIFEST_FILE}, so no hashes and no self-test to verify; "
                "gpt2-edge export --engine optimum --recipe fp32 writes a package that has both"
            )


@dataclass(frozen=True)
class _Interface:
    """What a graph takes and gives: name -> type or shape, a symbolic size as text."""

    producer: str
    input_types: dict[str, str]
    input_shapes: dict[str, list[int | str | None]]
    output_types: dict[str, str]
    output_shapes: dict[str, list[int | str | None]]


def is_stock_folder(folder: Path) -> bool:
    """Whether `folder` has a graph and a configuration, and no manifest."""
    return not (folder / MANIFEST_FILE).exists() and all(
        (folder / name).is_file() for name in (MODEL_FILE, CONFIG_FILE)
    )


def open_stock_folder(folder: Path) -> StockPackage:
    """The folder as a package whose manifest is made up of config.json and the graph.

    Raises PackageError in one line for another architecture, or a graph without a cache.
    """
    path = folder / MODEL_FILE
    config = _read_json(folder / CONFIG_FILE)
    if config.get("model_type") != "gpt2":
        raise PackageError(
            f"{folder / CONFIG_FILE} says model_type {config.get('model_type')!r}; only 'gpt2' "
            "can be run"
        )
    interface = _interface(path)
    if interface.producer == OUR_PRODUCER:
        raise PackageError(
            f"{folder} has no {MANIFEST_FILE}, which belongs to its {MODEL_FILE} that gpt2-edge "
            "export wrote; copy or export the package again"
        )
    architecture = _architecture(config, folder / CONFIG_FILE)
    _check(interface, architecture, path)
    first_past = interface.input_types[_NAMES.past_key.format(i=0)]
    generation_file = folder / "generation_config.json"
    special = config | (_read_json(generation_file) if generation_file.is_file() else {})
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=str(config.get("_name_or_path") or folder.resolve().name),
        created_by=interface.producer or "unknown",
        architecture=architecture,
        graph=Graph(
            file=MODEL_FILE,
            flavour="optimum",
            cache="concat",
            cache_dtype=_CACHE_DTYPES[first_past],
            min_onnxruntime="1.18",
            names=GraphNames(
                position_ids=_NAMES.position_ids
                if _NAMES.position_ids in interface.input_types
                else None,
                logits_to_keep=None,
            ),
        ),
        recipe={"name": "unknown"},
        tokenizer=TOKENIZER_FILE if (folder / TOKENIZER_FILE).is_file() else None,
        bos_token_id=next(iter(_token_ids(special.get("bos_token_id"), architecture)), None),
        eos_token_ids=_token_ids(special.get("eos_token_id"), architecture),
        files={
            file.name: FileRecord(file.stat().st_size, "")
            for file in sorted(folder.iterdir())
            if file.is_file()
        },
    )
    return StockPackage(folder, manifest)


def _interface(path: Path) -> _Interface:
    """Inputs and outputs, by loading the graph as plainly as ONNX Runtime can."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a family of its own
        raise PackageError(
            f"{path} cannot be loaded by ONNX Runtime {ort.__version__}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return _Interface(
        producer=session.get_modelmeta().producer_name,
        input_types={entry.name: entry.type for entry in inputs},
        input_shapes={entry.name: entry.shape for entry in inputs},
        output_types={entry.name: entry.type for entry in outputs},
        output_shapes={entry.name: entry.shape for entry in outputs},
    )


def _architecture(config: dict[str, Any], path: Path) -> Architecture:
    def integer(*keys: str) -> int:
        value = next((config[key] for key in keys if config.get(key) is not None), None)
        if type(value) is not int or value < 1:
            raise PackageError(
                f"{path} says {keys[0]} = {value!r}; expected a whole number above 0"
            )
        return value

    width, heads = integer("n_embd"), integer("n_head")
    if width % heads:
        raise PackageError(f"{path} says n_embd {width}, which n_head {heads} does not divide")
    return Architecture(
        num_layers=integer("n_layer"),
        num_heads=heads,
        head_size=width // heads,
        hidden_size=width,
        vocab_size=integer("vocab_size"),
        context_length=integer("n_positions", "n_ctx"),
    )


def _check(interface: _Interface, architecture: Architecture, path: Path) -> None:
    """Raise PackageError unless the graph is one with past and presents, as config.json says.

    What the runtime's own check would find too is here because there its message would speak of a
    manifest, which nobody wrote.
    """
    layers = range(architecture.num_layers)
    past = [p.format(i=i) for i in layers for p in (_NAMES.past_key, _NAMES.past_value)]
    present = [p.format(i=i) for i in layers for p in (_NAMES.present_key, _NAMES.present_value)]
    there = interface.input_types
    if past[0] not in there or present[0] not in interface.output_types:
        raise PackageError(f"{path} has no key-value cache; {_EXPORT}")
    known = {_NAMES.input_ids, _NAMES.attention_mask, *past}
    for name in (*sorted(known - there.keys()), *sorted({*present} - {*interface.output_types})):
        raise PackageError(f"{path} has no {name}, which a graph of {CONFIG_FILE} has; {_EXPORT}")
    for name in there.keys() - known - {_NAMES.position_ids}:
        layer = re.search(r"\.(\d+)\.", name)
        more = f"{CONFIG_FILE} says n_layer {architecture.num_layers}" if layer else _EXPORT
        raise PackageError(f"{path} needs the input {name}, which is not known here; {more}")
    if there[past[0]] not in _CACHE_DTYPES:
        raise PackageError(f"{path} has a cache of {there[past[0]]}; expected tensor(float)")
    logits = interface.output_types.get(_NAMES.logits)
    if logits != "tensor(float)":
        raise PackageError(
            f"{path} has {logits or 'nothing'} as its output {_NAMES.logits}; expected "
            "tensor(float): export it without --dtype fp16"
        )
    heads = (architecture.num_heads, architecture.head_size)
    if any((s[1], s[3]) != heads for s in (interface.input_shapes[name] for name in past)):
        raise PackageError(
            f"{path} has {interface.input_shapes[past[0]]} as its cache, {CONFIG_FILE} says "
            f"{heads[0]} heads of {heads[1]}"
        )
    vocab = interface.output_shapes[_NAMES.logits][-1]
    if isinstance(vocab, int) and vocab != architecture.vocab_size:
        raise PackageError(
            f"{path} has logits of {vocab} tokens, {CONFIG_FILE} says vocab_size "
            f"{architecture.vocab_size}"
        )


def _token_ids(value: Any, architecture: Architecture) -> tuple[int, ...]:
    ids = value if isinstance(value, list) else [value]
    # Some fine-tunes keep the 50256 of the original beside a smaller vocabulary.
    return tuple(i for i in ids if type(i) is int and 0 <= i < architecture.vocab_size)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PackageError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(value, dict):
        raise PackageError(f"{path} holds no JSON object")
    return value
