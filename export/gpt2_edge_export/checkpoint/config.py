"""The architecture of a checkpoint: a GPT-2's config.json, read as transformers reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import JSON_LIMIT, UnreadableError, read_json_object, shown
from gpt2_edge_export.checkpoint.activations import LEARNED, check_activation

# Where config.json does not say: transformers' defaults, which are the 124M model's sizes.
_DEFAULTS = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
# transformers' names for every architecture -> GPT-2's (its attribute_map). Where a file has both,
# transformers goes by the first.
_STANDARD_NAMES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
_MOST = {
    "vocab_size": 10_000_000,
    "n_positions": 10_000_000,
    "n_embd": 1_000_000,
    "n_layer": 1000,
    "n_head": 10_000,
    "n_inner": 10_000_000,
    "window_size": 10_000_000,
}
_MOST_HEAD_SIZE = 65_536
_FLAGS = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True,
    "add_cross_attention": False,
    "reorder_and_upcast_attn": False,
}


@dataclass(frozen=True)
class GPT2Config:
    """Sizes and variants of one model; the names are those of transformers' GPT2Config.

    attention_windows: how many tokens each layer's attention sees, itself the last of them; None
    where it sees all. Without any, no layer has a window. bos_token_id, eos_token_ids: of which
    config.json is only one source (special_tokens.py); the exporter sets them.
    """

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    n_inner: int
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    tie_word_embeddings: bool = True
    attention_windows: tuple[int | None, ...] = ()
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()

    @property
    def head_size(self) -> int:
        return self.n_embd // self.n_head

    @property
    def learned(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of what the activation has learned in every layer: see LEARNED."""
        return LEARNED.get(self.activation_function, {})

    def attention_scale(self, layer: int) -> float:
        """Factor on query·key before the softmax, for layer number `layer` (from 0)."""
        scale = 1 / math.sqrt(self.head_size) if self.scale_attn_weights else 1.0
        return scale / (layer + 1) if self.scale_attn_by_inverse_layer_idx else scale

    def attention_window(self, layer: int) -> int | None:
        """How many tokens the attention of layer number `layer` sees; None: all before and itself.

        A window of the whole context hides nothing, and is none.
        """
        window = self.attention_windows[layer] if self.attention_windows else None
        return None if window is None or window >= self.n_positions else window

    @property
    def has_windows(self) -> bool:
        """Whether the attention of some layer does not see all tokens."""
        return any(self.attention_window(layer) is not None for layer in range(self.n_layer))

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every weight, in the order in which the graph uses them.

        Names are transformers' without the `transformer.` prefix; linear weights are [in, out].
        """
        embd, inner = self.n_embd, self.n_inner
        shapes: dict[str, tuple[int, ...]] = {
            "wte.weight": (self.vocab_size, embd),
            "wpe.weight": (self.n_positions, embd),
        }
        for layer in range(self.n_layer):
            shapes |= {
                f"h.{layer}.ln_1.weight": (embd,),
                f"h.{layer}.ln_1.bias": (embd,),
                f"h.{layer}.attn.c_attn.weight": (embd, 3 * embd),
                f"h.{layer}.attn.c_attn.bias": (3 * embd,),
                f"h.{layer}.attn.c_proj.weight": (embd, embd),
                f"h.{layer}.attn.c_proj.bias": (embd,),
                f"h.{layer}.ln_2.weight": (embd,),
                f"h.{layer}.ln_2.bias": (embd,),
                f"h.{layer}.mlp.c_fc.weight": (embd, inner),
                f"h.{layer}.mlp.c_fc.bias": (inner,),
                **{f"h.{layer}.mlp.act.{name}": shape for name, shape in self.learned.items()},
                f"h.{layer}.mlp.c_proj.weight": (inner, embd),
                f"h.{layer}.mlp.c_proj.bias": (embd,),
            }
        shapes |= {"ln_f.weight": (embd,), "ln_f.bias": (embd,)}
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, embd)
        return shapes


def read_json(path: Path, limit: int = JSON_LIMIT) -> dict[str, Any]:
    """The JSON object in the file `path`; CheckpointError where there is none."""
    try:
        return read_json_object(path, limit)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except UnreadableError as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error


class Named(NamedTuple):
    """A config under its family's own names, notes, and own name -> the key that the file has.

    keys: only where the two differ.
    """

    config: dict[str, Any]
    notes: list[str]
    keys: dict[str, str]


def canonical_config(raw: dict[str, Any], where: Path, position_rows: int | None = None) -> Named:
    """The content of a config.json under GPT-2's own names, and notes on what was not said.

    position_rows: rows of the weights' position table, if known, by which files of 2019 are read
    that say n_ctx only. Nothing is judged here: see `parse_config`.
    """
    config, notes, keys = own_names(raw, _STANDARD_NAMES, where)
    if "n_positions" not in config and "n_ctx" in config and config["n_ctx"] == position_rows:
        config["n_positions"], keys["n_positions"] = config["n_ctx"], "n_ctx"
    config, more = with_defaults(config, _DEFAULTS, where)
    notes += more
    if config.get("model_type") is None:
        # Behind an error about the weights it says what may be wrong, too.
        notes.append(
            f'{where} has no model_type, and is read as a GPT-2\'s: add "model_type": "gpt2"'
        )
        config["model_type"] = "gpt2"
    return Named(config, notes, keys)


def own_names(raw: dict[str, Any], names: Mapping[str, str], where: Path) -> Named:
    """`raw` with its standard names (the keys of `names`) replaced, and notes on contradictions."""
    config, notes, keys = dict(raw), [], {}
    for standard, own in names.items():
        if standard in config:
            value = config.pop(standard)
            if own in config and config[own] != value:
                notes.append(
                    f"{where} says {own} {shown(config[own])} and {standard} {shown(value)}: the "
                    "latter counts, as in transformers"
                )
            config[own], keys[own] = value, standard
    return Named(config, notes, keys)


def with_defaults(
    config: dict[str, Any], defaults: Mapping[str, int], where: Path
) -> tuple[dict[str, Any], list[str]]:
    """`config` with the sizes that it does not say, and a note on them."""
    absent = {key: value for key, value in defaults.items() if key not in config}
    if not absent:
        return config, []
    taken = ", ".join(f"{key} {value}" for key, value in absent.items())
    note = f"{where} does not say all sizes: transformers' defaults are taken ({taken})"
    return config | absent, [note]


def parse_config(
    raw: dict[str, Any], where: Path, keys: Mapping[str, str] = MappingProxyType({})
) -> GPT2Config:
    """GPT2Config from the canonical content of a config.json (see `canonical_config`).

    keys: GPT-2's name -> the key that the file has, where it is another. Raises CheckpointError,
    naming `where` and the key, for a variant that cannot be exported, and for values out of their
    range.
    """
    quantization = raw.get("quantization_config")
    if quantization:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        raise CheckpointError(
            f"{where} has a quantization_config ({shown(method or quantization)}); give the "
            "unquantized checkpoint that this one was made from: the export quantizes by itself"
        )
    flags = {key: _flag(raw, key, default, where) for key, default in _FLAGS.items()}
    if flags["add_cross_attention"]:
        raise CheckpointError(
            f"{where} says add_cross_attention; a decoder with an encoder cannot be exported"
        )

    def size(name: str, least: int = 1) -> int:
        return whole_number(raw, name, where, least, keys.get(name))

    n_embd, n_head = size("n_embd"), size("n_head")
    if n_embd % n_head or n_embd // n_head > _MOST_HEAD_SIZE:
        width, heads = keys.get("n_embd", "n_embd"), keys.get("n_head", "n_head")
        raise CheckpointError(
            f"{where} says {width} {n_embd}, of which {heads} {n_head} does not make equal heads "
            f"of at most {_MOST_HEAD_SIZE}"
        )
    vocab_size = size("vocab_size", 2)
    activation = raw.get("activation_function", "gelu_new")
    check_activation(activation, f"{where} says activation_function")
    return GPT2Config(
        vocab_size=vocab_size,
        n_positions=size("n_positions"),
        n_embd=n_embd,
        n_layer=size("n_layer"),
        n_head=n_head,
        n_inner=4 * n_embd if raw.get("n_inner") is None else size("n_inner"),
        activation_function=activation,
        layer_norm_epsilon=_epsilon(raw.get("layer_norm_epsilon", 1e-5), where),
        scale_attn_weights=flags["scale_attn_weights"],
        scale_attn_by_inverse_layer_idx=flags["scale_attn_by_inverse_layer_idx"],
        tie_word_embeddings=flags["tie_word_embeddings"],
    )


def whole_number(
    raw: dict[str, Any], key: str, where: Path, least: int = 1, called: str | None = None
) -> int:
    """The number that `raw` has as `key`; CheckpointError where it is none, or out of its range.

    called: the file's own key for it, if that is another.
    """
    value, most = raw.get(key), _MOST[key]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise CheckpointError(
            f"{where} says {called or key} = {shown(value)}; expected a whole number from {least} "
            f"to {most}"
        )
    return value


def _flag(raw: dict[str, Any], key: str, default: bool, where: Path) -> bool:
    value = raw.get(key, default)
    if not isinstance(value, bool):
        raise CheckpointError(f"{where} says {key} = {shown(value)}; expected true or false")
    return value


def _epsilon(value: object, where: Path) -> float:
    # An attribute of an ONNX operator is a float32.
    largest = 3.4e38
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < largest:
        raise CheckpointError(
            f"{where} says layer_norm_epsilon = {shown(value)}; expected a number from 0 on"
        )
    return float(value)
