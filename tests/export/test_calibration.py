"""Calibrated weights: the same function, put so that rounding costs less."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import Generator
from gpt2_edge.errors import ExportError
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge_export.calibrate import CalibratedWeights, calibrate, efforts
from gpt2_edge_export.calibrate.forward import Forward
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.draft import Draft
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.graph.plan import GraphPlan
from gpt2_edge_export.measure.quality import Quality, compare
from gpt2_edge_export.quantize import (
    EMBEDDING_SCALE,
    HEAD_BIAS,
    MatrixFormat,
    Recipe,
    RoundedWeights,
    dequantize,
    make_recipe,
)
from gpt2_edge_export.texts import REPORT_TEXT, Text
from helpers import (
    assert_one_line,
    random_config,
    random_tensors,
    write_checkpoint,
    write_random_checkpoint,
)
from oracle import ALL_ACTIVATIONS, Oracle

FLOATS = Recipe("floats", MatrixFormat(32), MatrixFormat(32))
# The table quantized, so that the head's norm is folded as well; 8 bits change logits by little.
FLOATS_AND_TABLE = Recipe("floats and table", MatrixFormat(8, 16), MatrixFormat(32))
MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "heads padded": {"n_embd": 100, "n_head": 4},
    "untied": {"tie_word_embeddings": False},
    "scaled by layer": {"scale_attn_by_inverse_layer_idx": True, "n_layer": 3},
    "scores unscaled": {"scale_attn_weights": False},
    "inner 72": {"n_inner": 72},
} | {name: {"activation_function": name} for name in ALL_ACTIVATIONS}


def windows(seed: int, count: int = 8, seq: int = 64, vocab: int = 101) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, vocab, (count, seq))


def calibrated(
    checkpoint: Path, recipe: Recipe, ids: np.ndarray | None = None
) -> CalibratedWeights:
    source = RoundedWeights(open_checkpoint(checkpoint))
    return calibrate(source, recipe, windows(0) if ids is None else ids)


def package_of(checkpoint: Path, folder: Path, recipe: Recipe, ids: np.ndarray | None) -> Path:
    """A package with weights calibrated on `ids`; None: rounded to nearest."""
    opened = open_checkpoint(checkpoint)
    folder.mkdir()
    draft = Draft(opened, None, folder, "tested", GraphPlan(recipe))
    draft.write_beside()
    weights = RoundedWeights(opened) if ids is None else calibrated(checkpoint, recipe, ids)
    draft.finish(draft.write(weights))
    return folder


def through(weights: CalibratedWeights, ids: list[int]) -> np.ndarray:
    """Logits of float weights, with the exporter's own forward pass."""
    forward, window = Forward(weights.config), np.array([ids])
    hidden = forward.embed(weights, window)
    for layer in range(weights.config.n_layer):
        hidden = forward.layer(weights, hidden, layer)
    return forward.logits(weights, hidden)


@pytest.mark.parametrize(
    ("sizes", "tokens"),
    [
        ({}, 16_384),
        ({"n_layer": 12, "n_embd": 768, "n_inner": 3072, "vocab_size": 50257}, 8192),
        ({"n_layer": 48, "n_embd": 1600, "n_inner": 6400, "vocab_size": 50257}, 8192),
    ],
)
@pytest.mark.parametrize("recipe", ["int4", "int8", "int8-row", "int4-small"])
def test_small_models_get_twice_as_much_text(
    tmp_path: Path, sizes: dict[str, int], tokens: int, recipe: str
) -> None:
    tiny = open_checkpoint(write_random_checkpoint(tmp_path / "model", random_config()))
    config = dataclasses.replace(tiny.config, n_positions=1024, **sizes)
    checkpoint = dataclasses.replace(tiny, config=config)
    draft = Draft(checkpoint, None, tmp_path, "tested", GraphPlan(make_recipe(recipe)))
    text = Text("words", "", (5,) * 20_000)
    assert draft.calibration_windows(text).shape == (tokens // 1024, 1024)


@pytest.mark.parametrize("model", MODELS)
def test_folding_changes_no_logit(tmp_path: Path, model: str) -> None:
    checkpoint = write_random_checkpoint(tmp_path / "model", random_config(**MODELS[model]))
    weights = calibrated(checkpoint, FLOATS)
    # Something was folded: no norm and no projection is as it was.
    source = RoundedWeights(open_checkpoint(checkpoint))
    for name in ("h.1.ln_1.weight", "h.0.ln_2.bias", "h.0.attn.c_attn.weight", "h.1.mlp.c_fc.bias"):
        assert np.abs(weights.tensor(name) - source.tensor(name)).max() > 0.01, name
    ids = windows(1, 1)[0].tolist()  # others than those it was calibrated on
    expected = Oracle.load(checkpoint).logits(ids)
    np.testing.assert_allclose(through(weights, ids), expected, atol=1e-4)


@pytest.mark.parametrize("window", [None, 8, 200])
def test_attention_of_texts_longer_than_what_attends_at_once(
    tmp_path: Path, window: int | None
) -> None:
    seq, scaled = 300, random_config(scale_attn_by_inverse_layer_idx=True, n_positions=300)
    checkpoint = open_checkpoint(write_random_checkpoint(tmp_path / "model", scaled))
    config = dataclasses.replace(
        checkpoint.config, attention_windows=(window,) * checkpoint.config.n_layer
    )
    packed = np.random.default_rng(0).normal(0, 2, (2, seq, 3 * config.n_embd)).astype(np.float32)
    query, key, value = (
        part.reshape(2, seq, config.n_head, -1).transpose(0, 2, 1, 3).astype(np.float64)
        for part in np.split(packed, 3, axis=-1)
    )
    scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(config.head_size) / 2  # the second layer
    seen = np.tri(seq, dtype=bool) & ~np.tri(seq, k=-(window or seq), dtype=bool)
    scores[..., ~seen] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = (weights / weights.sum(-1, keepdims=True)) @ value
    np.testing.assert_allclose(
        Forward(config).attention(packed, 1),
        expected.transpose(0, 2, 1, 3).reshape(2, seq, config.n_embd),
        atol=1e-5,
    )


@pytest.mark.parametrize("model", ["plain", "heads padded", "untied", "scaled by layer"])
def test_the_graph_of_folded_weights_computes_the_same(tmp_path: Path, model: str) -> None:
    checkpoint = write_random_checkpoint(tmp_path / "model", random_config(**MODELS[model]))
    package = package_of(checkpoint, tmp_path / "package", FLOATS, windows(0))
    ids = windows(1, 1)[0].tolist()
    expected = Oracle.load(checkpoint).logits(ids)
    np.testing.assert_allclose(Generator.load(package).logits(ids), expected, atol=1e-4)


@pytest.mark.parametrize("model", ["plain", "untied", "heads padded"])
def test_a_folded_table_is_embedding_and_head_of_the_same_function(
    tmp_path: Path, model: str
) -> None:
    """With the head's bias and the scale of the embedding, in the graph and in NumPy."""
    checkpoint = write_random_checkpoint(tmp_path / "model", random_config(**MODELS[model]))
    weights = calibrated(checkpoint, FLOATS_AND_TABLE)
    assert weights.has(HEAD_BIAS)
    assert weights.has(EMBEDDING_SCALE) == (model != "untied")
    package = package_of(checkpoint, tmp_path / "package", FLOATS_AND_TABLE, windows(0))
    ids = windows(1, 1)[0].tolist()
    logits, expected = Generator.load(package).logits(ids), Oracle.load(checkpoint).logits(ids)
    # 8 bits in blocks of 16, of weights and of the head's inputs
    assert np.linalg.norm(logits - expected) < 0.02 * np.linalg.norm(expected)
    assert np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("recipe", ["int4", "int8", "int8-row"])
def test_a_model_whose_channels_were_scaled_apart_gives_the_same_weights(
    tmp_path: Path, recipe: str
) -> None:
    """Whatever LayerNorm channels are multiplied by, folding takes it out again."""
    config = random_config()
    tensors = random_tensors(config)
    plain, hard = (
        calibrated(write_checkpoint(tmp_path / name, config, each), make_recipe(recipe))
        for name, each in (("plain", tensors), ("hard", scaled_apart(tensors, 2, 32)))
    )
    for norm in ("h.0.ln_1.weight", "h.1.ln_2.weight"):
        # The same but for one factor, the geometric mean of those that were applied.
        ratio = hard.tensor(norm) / plain.tensor(norm)
        assert ratio == pytest.approx(np.full(32, ratio[0]), rel=1e-3)
    for matrix in ("h.0.attn.c_attn", "h.0.attn.c_proj", "h.1.mlp.c_fc", "h.1.mlp.c_proj"):
        first, second = (each.quantized(f"{matrix}.weight") for each in (plain, hard))
        assert first is not None
        assert second is not None
        a, b = dequantize(first), dequantize(second)
        if "c_proj" not in matrix:
            b *= np.vdot(b, a) / np.vdot(b, b)  # that factor again
        # Codes near a half tip, as the stored scales are rounded to float16 anew; without folding
        # they would be other codes altogether.
        difference = np.linalg.norm(a - b) / np.linalg.norm(a)
        assert difference < (0.25 if recipe == "int4" else 0.02), matrix


@pytest.mark.parametrize("width", [100, 36])
def test_widths_that_no_block_divides(tmp_path: Path, width: int) -> None:
    config = random_config(n_embd=width, n_head=2, n_inner=70)
    checkpoint = write_random_checkpoint(tmp_path / "model", config)
    ids = windows(1, 4)
    for recipe in ("int4", "int8", "int8-row"):
        package = package_of(checkpoint, tmp_path / recipe, make_recipe(recipe), windows(0))
        quality = against(Oracle.load(checkpoint), Generator.load(package), ids)
        assert quality < (0.3 if recipe == "int4" else 0.01), recipe


def against(oracle: Oracle, generator: Generator, ids: np.ndarray) -> float:
    """Mean KL divergence of the generator from the oracle on windows [windows, seq]."""
    divergences = []
    for window in ids.tolist():
        p, q = (log_softmax(model.logits(window)) for model in (oracle, generator))
        divergences.append((np.exp(p) * (p - q)).sum(-1))
    return float(np.mean(divergences))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize("recipe", ["int4", "int4-small", "int8", "int8-row"])
@pytest.mark.parametrize("model", ["plain", "heads padded", "untied", "scaled by layer"])
def test_calibrated_random_weights_stay_close(tmp_path: Path, model: str, recipe: str) -> None:
    checkpoint = write_random_checkpoint(tmp_path / "model", random_config(**MODELS[model]))
    package = package_of(checkpoint, tmp_path / "package", make_recipe(recipe), windows(0))
    ids = windows(1, 3)
    assert against(Oracle.load(checkpoint), Generator.load(package), ids) < (
        0.2 if recipe.startswith("int4") else 0.005
    )


def test_calibrating_is_deterministic(tmp_path: Path) -> None:
    checkpoint = write_random_checkpoint(tmp_path / "model", random_config())
    first, second = (calibrated(checkpoint, make_recipe("int4")) for _ in range(2))
    for name in ("wte.weight", "h.1.mlp.c_proj.weight"):
        one, other = first.quantized(name), second.quantized(name)
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.packed, other.packed)


def test_the_checkpoint_is_not_changed(tmp_path: Path) -> None:
    class Remembering(RoundedWeights):
        """Gives the very same arrays each time, as a source in memory may."""

        given: dict[str, np.ndarray]

        def tensor(self, name: str) -> np.ndarray:
            if name not in self.given:
                self.given[name] = super().tensor(name)
            return self.given[name]

    checkpoint = write_random_checkpoint(tmp_path / "model", random_config())
    source = Remembering(open_checkpoint(checkpoint))
    source.given = {}
    calibrate(source, make_recipe("int4"), windows(0))
    fresh = RoundedWeights(open_checkpoint(checkpoint))
    assert len(source.given) > 20
    for name, array in source.given.items():
        np.testing.assert_array_equal(array, fresh.tensor(name), name)


@pytest.mark.parametrize("recipe", [make_recipe("int8"), make_recipe("int4"), FLOATS])
@pytest.mark.parametrize("model", ["plain", "untied"])
def test_every_matrix_counts_its_effort(tmp_path: Path, model: str, recipe: Recipe) -> None:
    checkpoint = write_random_checkpoint(tmp_path / "model", random_config(**MODELS[model]))
    counted: list[float] = []
    source, ids = RoundedWeights(open_checkpoint(checkpoint)), windows(0, 2)
    calibrate(source, recipe, ids, counted.append)
    expected = efforts(recipe, source.config, ids.size, ids.shape[1])
    assert counted == list(expected.values())
    assert len(counted) == 4 * 2 + 1
    assert min(counted) > 0
    # A layer takes as long as any other, and quantizing takes longer than not.
    assert counted[:4] == counted[4:8]
    floats = efforts(FLOATS, source.config, ids.size, ids.shape[1])
    assert (sum(counted) > sum(floats.values())) == recipe.quantized


@pytest.mark.parametrize("value", [1e20, 1e30])
@pytest.mark.filterwarnings("ignore")
def test_weights_far_too_large_are_refused_in_one_line(tmp_path: Path, value: float) -> None:
    config = random_config()
    tensors = random_tensors(config)
    tensors["h.1.mlp.c_fc.weight"][3, 4] = value
    checkpoint = write_checkpoint(tmp_path / "model", config, tensors)
    with pytest.raises(ExportError) as caught:
        package_of(checkpoint, tmp_path / "package", make_recipe("int4"), windows(0))
    assert_one_line(caught.value)


def test_dead_channels_are_no_trouble(tmp_path: Path) -> None:
    """Norm outputs, values and inner channels that never move; rows and columns of zeros."""
    config = random_config(activation_function="relu")
    tensors = random_tensors(config)
    tensors["h.0.ln_1.weight"][[1, 2]] = 0
    tensors["h.0.ln_1.bias"][2] = 0
    tensors["h.0.attn.c_attn.weight"][:, 64:70] = 0  # values
    tensors["h.0.attn.c_attn.bias"][64:70] = 0
    tensors["h.0.mlp.c_fc.bias"][:10] = -100  # always below zero
    tensors["h.1.ln_2.weight"][:] = 0  # no channel of a whole layer moves
    tensors["h.1.mlp.c_proj.weight"][:, :5] = 0
    tensors["wte.weight"][[7, 8]] = 0
    checkpoint = write_checkpoint(tmp_path / "model", config, tensors)
    ids = windows(1, 2)
    expected = Oracle.load(checkpoint).logits(ids[0].tolist())
    np.testing.assert_allclose(
        through(calibrated(checkpoint, FLOATS), ids[0].tolist()), expected, atol=2e-4
    )
    for recipe in ("int4", "int8", "int8-row"):
        package = package_of(checkpoint, tmp_path / recipe, make_recipe(recipe), windows(0))
        quality = against(Oracle.load(checkpoint), Generator.load(package), ids)
        assert quality < (0.2 if recipe == "int4" else 0.01), recipe


# What follows needs a trained model, whose inputs are correlated and whose text is English.

_MEASURED = 2048


@dataclass(frozen=True)
class Sample:
    """The sample model in fp32, and ids to measure on that no calibration saw."""

    fp32: Path
    ids: list[int]

    def quality(self, package: Path) -> Quality:
        reference, candidate = (Generator.load(each, verify=False) for each in (self.fp32, package))
        return compare(reference, candidate, self.ids)


@pytest.fixture(scope="module")
def sample(sample_fp32: Path) -> Sample:
    text = REPORT_TEXT.read_text("utf-8")[:20_000]
    return Sample(sample_fp32, Tokenizer(sample_fp32 / "tokenizer.json").encode(text)[:_MEASURED])


def scaled_apart(tensors: dict[str, np.ndarray], layers: int, width: int) -> dict[str, np.ndarray]:
    """LayerNorm outputs scaled by up to 50, what reads them by as much less."""
    random = np.random.default_rng(5)
    changed = dict(tensors)
    for layer in range(layers):
        for norm, reader in (("ln_1", "attn.c_attn"), ("ln_2", "mlp.c_fc")):
            factors = np.ones(width, np.float32)
            outliers = random.choice(width, max(2, width // 40), replace=False)
            factors[outliers] = random.uniform(10, 50, len(outliers))
            factors[outliers[0]] = 50
            name = f"h.{layer}.{reader}.weight"
            changed[name] = changed[name] / factors[:, None]
            for kind in ("weight", "bias"):
                changed[f"h.{layer}.{norm}.{kind}"] = changed[f"h.{layer}.{norm}.{kind}"] * factors
    return changed


def test_calibrated_int4_loses_half_of_what_rounding_to_nearest_loses(
    sample: Sample, sample_checkpoint: Path, sample_int4: Path, tmp_path: Path
) -> None:
    plain = package_of(sample_checkpoint, tmp_path / "plain", make_recipe("int4"), None)
    sizes = [(package / "model.onnx").stat().st_size for package in (sample_int4, plain)]
    assert sizes[0] < 1.01 * sizes[1]
    better, worse = sample.quality(sample_int4), sample.quality(plain)
    assert 0 < better.mean_kl <= 0.5 * worse.mean_kl
    assert better.top1 > worse.top1


def test_int8_does_not_mind_outliers(
    sample: Sample, sample_checkpoint: Path, sample_int8: Path, tmp_path: Path
) -> None:
    """On a copy made hard on purpose: the same function, outliers like the real GPT-2's."""
    oracle = Oracle.load(sample_checkpoint)
    raw = json.loads((sample_checkpoint / "config.json").read_text("utf-8")) | {"dtype": "float32"}
    tensors = {name: value.astype(np.float32) for name, value in oracle.tensors.items()}
    hard_tensors = scaled_apart(tensors, raw["n_layer"], raw["n_embd"])
    checkpoint = write_checkpoint(tmp_path / "hard", raw, hard_tensors)
    expected = oracle.logits(sample.ids[:100])
    np.testing.assert_allclose(
        Oracle.load(checkpoint).logits(sample.ids[:100]), expected, atol=1e-4
    )

    options = ExportOptions(recipe="int8", tokenizer=sample_checkpoint, report=False)
    export_package(checkpoint, tmp_path / "package", options)
    easy, hard = sample.quality(sample_int8), sample.quality(tmp_path / "package")
    assert easy.mean_kl <= 0.001
    assert easy.top1 >= 0.975  # 98% on ten times the text; 0.3% is the standard error here
    assert easy.perplexity == pytest.approx(easy.reference_perplexity, rel=0.003)
    assert 0.5 * easy.mean_kl <= hard.mean_kl <= 2 * easy.mean_kl
    # Rounded to nearest, the same recipe suffers: the copy is hard indeed.
    plain = package_of(checkpoint, tmp_path / "plain", make_recipe("int8"), None)
    assert sample.quality(plain).mean_kl > 3 * hard.mean_kl
