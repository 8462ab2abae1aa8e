"""The fp32 graph of random weights, in every variant of the architecture, against the oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge_export.graph.flavours import FLAVOURS
from oracle import ALL_ACTIVATIONS, Oracle

LOGIT_TOLERANCE = 1e-4  # logits are around 1; float32 leaves some 1e-6
GREEDY_TOKENS = 20

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "inner 75": {"n_inner": 75},
    "unscaled attention": {"scale_attn_weights": False},
    "scaled by layer": {"scale_attn_by_inverse_layer_idx": True, "n_layer": 3},
    "scaled by layer only": {
        "scale_attn_weights": False,
        "scale_attn_by_inverse_layer_idx": True,
        "n_layer": 3,
    },
    "upcast": {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True},
    "untied head": {"tie_word_embeddings": False},
    "epsilon 1e-3": {"layer_norm_epsilon": 1e-3},
    "epsilon 0.1": {"layer_norm_epsilon": 0.1},
    "head size 8": {"n_embd": 32, "n_head": 4},
    "head size 12": {"n_embd": 36, "n_head": 3},
    "head size 20": {"n_embd": 40, "n_head": 2},
    "head size 48": {"n_embd": 96, "n_head": 2},
    "head size 80": {"n_embd": 160, "n_head": 2},
    "head size 1": {"n_embd": 4, "n_head": 4},
    "one head": {"n_head": 1},
    "one layer": {"n_layer": 1},
    "context 8": {"n_positions": 8},
    "vocabulary 257": {"vocab_size": 257},
    "vocabulary 2": {"vocab_size": 2},
    "width 100": {"n_embd": 100, "n_head": 4},
}


def check(package: Path) -> None:
    """Logits of every position of a prompt, then greedy tokens over the cache."""
    oracle = Oracle.load(package.parent / "checkpoint")
    context = oracle.config["n_positions"]
    length = min(24, context // 2)
    ids = np.random.default_rng(1).integers(0, oracle.config["vocab_size"], length).tolist()
    generator = Generator.load(package)

    expected = oracle.logits(ids)
    assert expected.std() > 0.3, "the weights leave nothing to tell apart"
    np.testing.assert_allclose(generator.logits(ids), expected, rtol=0, atol=LOGIT_TOLERANCE)

    count = min(GREEDY_TOKENS, context - length + 1)
    config = GenerationConfig(max_new_tokens=count, ignore_eos=True)
    assert list(generator.generate(ids, config).ids) == oracle.greedy(ids, count)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_activation(random_package: Callable[..., Path], activation: str, flavour: str) -> None:
    check(random_package(flavour=flavour, activation_function=activation))


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", VARIANTS)
def test_variant(random_package: Callable[..., Path], name: str, flavour: str) -> None:
    check(random_package(flavour=flavour, **VARIANTS[name]))


def test_every_activation_that_the_export_takes_is_in_the_oracle() -> None:
    from gpt2_edge_export.checkpoint.activations import ACTIVATIONS as EXPORTED

    assert set(ALL_ACTIVATIONS) == EXPORTED.keys()


def test_tanh_gelu_and_exact_gelu_differ(random_package: Callable[..., Path]) -> None:
    ids = [1, 2, 3, 4]
    tanh = Generator.load(random_package(activation_function="gelu_new")).logits(ids)
    exact = Generator.load(random_package(activation_function="gelu")).logits(ids)
    assert np.abs(tanh - exact).max() > LOGIT_TOLERANCE
