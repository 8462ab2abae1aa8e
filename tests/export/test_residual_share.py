"""What adds to the residual stream takes back part of what the stream has lost before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2_edge_export.calibrate.calibration import _Calibration
from gpt2_edge_export.calibrate.linear import Linear
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.quantize import RoundedWeights, make_recipe
from helpers import random_config, write_random_checkpoint


@pytest.mark.parametrize(
    ("name", "width"), [("h.0.attn.c_proj", 32), ("h.1.mlp.c_proj", 128), ("h.1.mlp.c_proj", 16)]
)
def test_half_of_a_loss_that_the_inputs_tell_is_taken_back(
    tmp_path: Path, name: str, width: int
) -> None:
    config = random_config(n_inner=width if ".mlp." in name else None)
    source = RoundedWeights(open_checkpoint(write_random_checkpoint(tmp_path / "model", config)))
    random = np.random.default_rng(0)
    ids = random.integers(0, 101, (32, 64))
    calibration = _Calibration(source, make_recipe("int8"), ids, lambda effort: None)
    inputs = random.normal(size=(*ids.shape, width)).astype(np.float32)
    told = inputs @ random.normal(size=(width, 32)).astype(np.float32)
    calibration.quantized = calibration.original + told
    untold = random.normal(size=told.shape).astype(np.float32)
    calibration.quantized += untold

    weight, bias = source.tensor(f"{name}.weight"), source.tensor(f"{name}.bias")
    original = calibration.original + inputs @ weight + bias
    calibration._add_to_streams(name, Linear(weight, bias, original=inputs))

    np.testing.assert_allclose(calibration.original, original, rtol=0, atol=1e-4)
    lost = calibration.quantized - calibration.original
    # Half of it, less what the pull towards the original weights keeps back.
    assert np.vdot(lost, told) / np.vdot(told, told) == pytest.approx(0.55, abs=0.05)
    assert np.vdot(lost, untold) / np.vdot(untold, untold) == pytest.approx(1, abs=0.1)
