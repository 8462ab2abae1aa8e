"""Weights of which one matrix is in 4 bits: what goes with it comes along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2_edge_export.calibrate import calibrate
from gpt2_edge_export.calibrate.forward import Forward
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.quantize import RoundedWeights
from gpt2_edge_export.search import _COARSE, _FINE, _Mixture
from helpers import random_config, random_tensors, write_checkpoint


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_in_4_bits_keeps_the_function(tmp_path: Path, tied: bool) -> None:
    """Its channels are scaled otherwise than in 8 bits, and the last norm with them."""
    config = random_config(tie_word_embeddings=tied)
    tensors = random_tensors(config)
    tensors["ln_f.weight"][:4] *= 30  # outliers, which the two calibrations treat differently
    source = RoundedWeights(open_checkpoint(write_checkpoint(tmp_path / "model", config, tensors)))
    ids = np.random.default_rng(0).integers(0, 101, (8, 64))
    fine, coarse = (calibrate(source, recipe, ids) for recipe in (_FINE, _COARSE))
    head = "wte.weight" if tied else "lm_head.weight"
    forward = Forward(source.config)

    def logits(weights: _Mixture | RoundedWeights) -> np.ndarray:
        hidden = forward.embed(weights, ids[:2])
        for layer in range(source.config.n_layer):
            hidden = forward.layer(weights, hidden, layer)
        return forward.logits(weights, hidden)

    assert np.abs(fine.tensor("ln_f.weight") / coarse.tensor("ln_f.weight") - 1).max() > 0.1
    expected = logits(source)
    expected -= expected.mean(0)
    for changed, limit in ((set[str](), 0.05), ({head}, 0.35)):
        given = logits(_Mixture(fine, coarse, changed))
        given -= given.mean(0)
        assert np.linalg.norm(given - expected) < limit * np.linalg.norm(expected), changed
