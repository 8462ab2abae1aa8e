"""How long each part of a calibration takes, relative to the others, for a true progress bar.

In multiplications of a matrix product. What is no product counts as so many of them as were
measured to take its time.
"""

from __future__ import annotations

from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.quantize.recipe import MATRICES, MatrixFormat, Recipe
from gpt2_edge_export.quantize.weights import input_width

# Passes over an activation, in each stream; rounding of a weight: in 8 bits, and what the search
# for scales and the sweeps add in 4.
_ACTIVATION, _WEIGHT, _WEIGHT_4 = 300, 300, 2000
_ATTENTION = 5.5  # softmax and two thin products, for every pair of positions
_FACTOR = 1.0  # factoring two matrices [in, in], of in^3
_PRODUCTS, _PRODUCTS_4 = 2.5, 2.0  # of in^2 x out: the fit and GPTQ; the sweeps


def efforts(recipe: Recipe, config: GPT2Config, tokens: int, window: int) -> dict[str, float]:
    """The effort of every matrix that `calibrate` goes through, by its name, in its order.

    tokens: of the text, in windows of `window`.
    """
    found: dict[str, float] = {}
    for layer in range(config.n_layer):
        for kind in MATRICES:
            name = f"h.{layer}.{kind}.weight"
            n_in, n_out = input_width(name, config), config.tensor_shapes()[name][1]
            products = 2 * n_in * n_out + n_in**2 // 2 + n_in * min(n_in, n_out)
            found[name] = float(tokens) * (products + _ACTIVATION * (n_in + n_out))
            if kind == "attn.c_attn":
                found[name] += 2 * _ATTENTION * tokens * window * config.n_embd
            found[name] += _rounding(recipe.format(name, n_in), n_in, n_out)
    head = "wte.weight" if config.tie_word_embeddings else "lm_head.weight"
    width, form = config.n_embd, recipe.format(head, config.n_embd)
    found[head] = tokens * width**2 / 2 if form.quantized else 1
    found[head] += _rounding(form, width, config.vocab_size)
    return found


def forward_effort(config: GPT2Config, tokens: int, layers: int) -> float:
    """The effort of the last `layers` layers and the head, once, of `tokens` tokens."""
    width, inner = config.n_embd, config.n_inner
    layer = 4 * width**2 + 2 * width * inner + _ACTIVATION * (6 * width + 2 * inner)
    return tokens * (layers * layer + (width + _ACTIVATION // 4) * config.vocab_size)


def _rounding(form: MatrixFormat, n_in: int, n_out: int) -> float:
    if not form.quantized:
        return 0
    four = form.bits == 4
    products = _PRODUCTS + (_PRODUCTS_4 if four else 0)
    passes = _WEIGHT + (_WEIGHT_4 if four else 0)
    return _FACTOR * n_in**3 + n_in * n_out * (products * n_in + passes)
