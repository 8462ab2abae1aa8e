"""Checkpoints of GPT-Neo, as transformers' GPTNeoForCausalLM saves them.

Against a GPT-2 (its `configuration_gpt_neo` and `modeling_gpt_neo`): other names, linear weights as
[out, in], queries, keys and values apart and without biases, scores that nothing divides, and
layers in which a token sees a window only.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import shown
from gpt2_edge_export.checkpoint.config import (
    own_names,
    parse_config,
    whole_number,
    with_defaults,
)
from gpt2_edge_export.checkpoint.family import Family, ReadConfig
from gpt2_edge_export.checkpoint.readers import TensorReader, as_float32

# Where config.json does not say: transformers' defaults, which are the 1.3B model's.
_DEFAULTS = {
    "vocab_size": 50257,
    "max_position_embeddings": 2048,
    "hidden_size": 2048,
    "num_layers": 24,
    "num_heads": 16,
}
_DEFAULT_TYPES = [[["global", "local"], 12]]
_DEFAULT_WINDOW = 256
_STANDARD_NAMES = {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}
# What the model calls otherwise than a GPT-2, and what it calls the same.
_GPT2_NAMES = {
    "max_position_embeddings": "n_positions",
    "hidden_size": "n_embd",
    "num_layers": "n_layer",
    "num_heads": "n_head",
    "intermediate_size": "n_inner",
}
_SAME = (
    "vocab_size",
    "activation_function",
    "layer_norm_epsilon",
    "tie_word_embeddings",
    "add_cross_attention",
    "quantization_config",
)
_KINDS = ("global", "local")

_ATTENTION = "attn.attention."
_PARTS = tuple(f"{_ATTENTION}{part}_proj.weight" for part in "qkv")
_PACKED, _PACKED_BIAS = "attn.c_attn.weight", "attn.c_attn.bias"
_OUT, _PROJECTION = f"{_ATTENTION}out_proj.", "attn.c_proj."
_TURNED = (f"{_PROJECTION}weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
_MASKS = (f"{_ATTENTION}bias", f"{_ATTENTION}masked_bias")  # of old versions


def _read_config(raw: dict[str, Any], where: Path, position_rows: int | None = None) -> ReadConfig:
    named, notes, said = own_names(raw, _STANDARD_NAMES, where)
    keys = {gpt2: said.get(name, name) for name, gpt2 in _GPT2_NAMES.items()}
    written, more = with_defaults(named, _DEFAULTS, where)
    as_gpt2 = {name: written[name] for name in _SAME if name in written}
    as_gpt2 |= {gpt2: written[name] for name, gpt2 in _GPT2_NAMES.items() if name in written}
    config = parse_config(as_gpt2 | {"scale_attn_weights": False}, where, keys)
    kinds = _kinds(written, config.n_layer, where)
    window = whole_number({"window_size": _DEFAULT_WINDOW} | written, "window_size", where)
    windows = tuple(window if kind == "local" else None for kind in kinds)
    config = dataclasses.replace(config, attention_windows=windows)
    return ReadConfig(config, written, [*notes, *more], keys)


def _kinds(config: dict[str, Any], layers: int, where: Path) -> list[str]:
    """Global or local, for each layer; attention_layers counts where it is there."""
    name = "attention_types" if config.get("attention_layers") is None else "attention_layers"
    said = config.get(name, _DEFAULT_TYPES)
    kinds: Any = _expanded(said, layers) if name == "attention_types" else said
    if not (
        isinstance(kinds, list)
        and len(kinds) == layers
        and all(isinstance(kind, str) and kind in _KINDS for kind in kinds)
    ):
        raise CheckpointError(
            f"{where} says {name} {shown(said)}; expected {' or '.join(_KINDS)} for each of the "
            f"{layers} layers"
        )
    return [str(kind) for kind in kinds]


def _expanded(types: object, layers: int) -> list[object] | None:
    """[[kinds, times], ...] as one list; None for what is none, or longer than `layers`."""
    found: list[object] = []
    for item in types if isinstance(types, list) else [None]:
        if not (isinstance(item, list) and len(item) == 2 and isinstance(item[0], list)):
            return None
        kinds, times = item
        if type(times) is not int or len(kinds) * times > layers:
            return None
        found += kinds * times
    return found


class _AsGPT2:
    """The tensors of a GPT-Neo as those of a GPT-2, whatever stands before their names."""

    def __init__(self, reader: TensorReader, source: str) -> None:
        self._reader, self._source = reader, source
        self._packed: dict[str, list[str]] = {}
        self._held: dict[str, str] = {}
        self._faulty: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.faults: dict[str, str] = {}
        for name in (*reader.shapes, *reader.faults):
            part = next((part for part in _PARTS if name.endswith(part)), None)
            if part is not None:
                self._add_packed(name.removesuffix(part))
            elif not name.endswith(_MASKS):
                self._add(name)

    def read(self, name: str) -> npt.NDArray[Any]:
        if name in self._packed:
            parts = [
                as_float32(self._reader.read(part), shown(part), self._source)
                for part in self._packed[name]
            ]
            return np.ascontiguousarray(np.concatenate(parts).T)
        if name not in self._held:  # a bias that the model does not have
            return np.zeros(self.shapes[name], np.float32)
        array = self._reader.read(self._held[name])
        return np.ascontiguousarray(array.T) if name.endswith(_TURNED) else array

    def same(self, name: str, other: str) -> bool:
        return self._reader.same(self._held[name], self._held[other])

    def in_file(self, name: str, shape: tuple[int, ...] = ()) -> tuple[str, tuple[int, ...]]:
        """The file's own name and shape of a tensor; of a packed one, of its first or odd part."""
        if name.endswith((_PACKED, _PACKED_BIAS)):
            block = name.removesuffix(_PACKED).removesuffix(_PACKED_BIAS)
            part = self._faulty.get(block + _PACKED, block + _PARTS[0])
            return part, (*(size // len(_PARTS) for size in shape[1:]), *shape[:1])
        turned = name.endswith(_TURNED)
        own = self._held.get(name, name.replace(_PROJECTION, _OUT))
        return own, shape[::-1] if turned else shape

    def _add(self, name: str) -> None:
        as_gpt2 = name.replace(_OUT, _PROJECTION)
        self._held[as_gpt2] = name
        if name in self._reader.faults:
            self.faults[as_gpt2] = self._reader.faults[name]
        else:
            shape = self._reader.shapes[name]
            self.shapes[as_gpt2] = shape[::-1] if as_gpt2.endswith(_TURNED) else shape

    def _add_packed(self, block: str) -> None:
        """Queries, keys and values of one layer, as one matrix and a bias of zeros."""
        packed, parts = block + _PACKED, [block + part for part in _PARTS]
        if packed in self._packed:
            return
        self._packed[packed] = parts
        for part in parts:
            if part in self._reader.faults:
                fault = self._reader.faults[part]
                self.faults |= dict.fromkeys((packed, block + _PACKED_BIAS), fault)
                self._faulty[packed] = part
                return
            if part not in self._reader.shapes:
                raise CheckpointError(
                    f"{self._source}: tensor {shown(part)} is missing from the weights"
                )
        shapes = [self._reader.shapes[part] for part in parts]
        odd = next((i for i, shape in enumerate(shapes) if len(shape) != 2), None)
        odd = next((i for i, s in enumerate(shapes) if s != shapes[0]), odd)
        if odd is not None:
            raise CheckpointError(
                f"{self._source}: tensor {shown(parts[odd])} has shape {shown(list(shapes[odd]))}; "
                "queries, keys and values have one square matrix each"
            )
        rows, width = shapes[0]
        self.shapes[packed] = (width, 3 * rows)
        self.shapes[block + _PACKED_BIAS] = (3 * rows,)


GPT_NEO = Family("gpt_neo", "GPT-Neo", ("GPTNeoForCausalLM", "GPTNeoModel"), _read_config, _AsGPT2)
