"""The architecture of a GPT-2 checkpoint, read from its config.json."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2_edge.errors import CheckpointError

# activation_function in config.json -> the operator that graph.py emits. The tanh forms are one
# formula under several names in transformers; so are the erf forms.
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu_erf",
    "gelu_python": "gelu_erf",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


@dataclass(frozen=True)
class GPT2Config:
    """Sizes and variants of one GPT-2; the names are those of transformers' GPT2Config."""

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
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()

    @property
    def head_size(self) -> int:
        return self.n_embd // self.n_head

    def attention_scale(self, layer: int) -> float:
        """Factor on query·key before the softmax, for layer number `layer` (from 0)."""
        scale = 1 / math.sqrt(self.head_size) if self.scale_attn_weights else 1.0
        return scale / (layer + 1) if self.scale_attn_by_inverse_layer_idx else scale

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
                f"h.{layer}.mlp.c_proj.weight": (inner, embd),
                f"h.{layer}.mlp.c_proj.bias": (embd,),
            }
        shapes |= {"ln_f.weight": (embd,), "ln_f.bias": (embd,)}
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, embd)
        return shapes


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file `path`; CheckpointError where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return value


def parse_config(
    raw: dict[str, Any], where: Path, activation_function: str | None = None
) -> GPT2Config:
    """GPT2Config from the content of a Hugging Face config.json.

    `activation_function` overrides the one in the file. Raises CheckpointError, naming `where`,
    for another architecture or a variant that cannot be exported.
    """
    model_type = raw.get("model_type")
    if model_type != "gpt2":
        raise CheckpointError(
            f"{where} says model_type {model_type!r}; only 'gpt2' checkpoints can be exported"
        )
    if raw.get("add_cross_attention"):
        raise CheckpointError(
            f"{where} says add_cross_attention; a decoder with an encoder cannot be exported"
        )

    def integer(key: str, minimum: int, default: int | None = None) -> int:
        value = raw.get(key)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise CheckpointError(
                f"{where} says {key} = {value!r}; expected a whole number >= {minimum}"
            )
        return value

    n_embd, n_head = integer("n_embd", 1), integer("n_head", 1)
    if n_embd % n_head:
        raise CheckpointError(
            f"{where} says n_embd {n_embd}, which n_head {n_head} does not divide"
        )
    vocab_size = integer("vocab_size", 2)
    activation = activation_function or raw.get("activation_function", "gelu_new")
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise CheckpointError(
            f"{where} says activation_function {activation!r}; expected one of {known}"
        )
    epsilon = raw.get("layer_norm_epsilon", 1e-5)
    if not isinstance(epsilon, (int, float)) or not 0 <= epsilon < math.inf:
        raise CheckpointError(f"{where} says layer_norm_epsilon {epsilon!r}; expected a number")
    eos = raw.get("eos_token_id")
    eos_ids = [] if eos is None else eos if isinstance(eos, list) else [eos]
    bos = raw.get("bos_token_id")
    return GPT2Config(
        vocab_size=vocab_size,
        n_positions=integer("n_positions", 1, raw.get("n_ctx")),
        n_embd=n_embd,
        n_layer=integer("n_layer", 1),
        n_head=n_head,
        n_inner=integer("n_inner", 1, 4 * n_embd),
        activation_function=activation,
        layer_norm_epsilon=epsilon,
        scale_attn_weights=bool(raw.get("scale_attn_weights", True)),
        scale_attn_by_inverse_layer_idx=bool(raw.get("scale_attn_by_inverse_layer_idx", False)),
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", True)),
        # Some fine-tunes keep the 50256 of the original beside a smaller vocabulary.
        bos_token_id=bos if isinstance(bos, int) and 0 <= bos < vocab_size else None,
        eos_token_ids=tuple(i for i in eos_ids if isinstance(i, int) and 0 <= i < vocab_size),
    )
