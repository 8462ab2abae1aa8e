"""What quantization costs the sample model on held-out text, and the figures themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpt2_edge import Generator
from gpt2_edge_export.measure.quality import compare
from gpt2_edge_export.texts import REPORT_TEXT
from oracle import Oracle

TOKENS = 2048


@pytest.fixture(scope="module")
def heldout_ids(sample_checkpoint: Path, sample_fp32: Path) -> list[int]:
    text = REPORT_TEXT.read_text("utf-8")
    tokenizer = Generator.load(sample_fp32).tokenizer
    assert tokenizer is not None
    ids = tokenizer.encode(text)[:TOKENS]
    assert len(ids) >= 1000
    return ids


def test_int8_keeps_the_likeliest_token(
    sample_fp32: Path, sample_int8: Path, heldout_ids: list[int]
) -> None:
    quality = compare(Generator.load(sample_fp32), Generator.load(sample_int8), heldout_ids)
    assert quality.tokens == len(heldout_ids)
    assert quality.top1 >= 0.975
    assert 0 < quality.mean_kl < 0.001
    assert quality.p99_kl > quality.mean_kl
    assert quality.perplexity == pytest.approx(quality.reference_perplexity, rel=0.01)


def test_int4_stays_close(sample_fp32: Path, sample_int4: Path, heldout_ids: list[int]) -> None:
    quality = compare(Generator.load(sample_fp32), Generator.load(sample_int4), heldout_ids)
    assert quality.top1 >= 0.93
    assert 0 < quality.mean_kl < 0.007
    assert quality.perplexity < 1.02 * quality.reference_perplexity


def test_sample_predicts_english(sample_fp32: Path, heldout_ids: list[int]) -> None:
    generator = Generator.load(sample_fp32)
    quality = compare(generator, generator, heldout_ids)
    assert quality.reference_perplexity < 90  # 62.5 on a longer text (models/sample/README.md)
    assert (quality.mean_kl, quality.p99_kl, quality.top1) == (0, 0, 1)
    assert quality.perplexity == quality.reference_perplexity


def test_figures_are_those_of_the_definitions(random_package: Callable[..., Path]) -> None:
    reference, candidate = random_package(seed=1), random_package(seed=2)
    ids = np.random.default_rng(0).integers(0, 101, 150).tolist()
    quality = compare(Generator.load(reference), Generator.load(candidate), ids)

    parts = [ids[0:64], ids[64:128], ids[128:150]]  # the context is 64
    p, q = (
        [log_softmax(Oracle.load(package.parent / "checkpoint").logits(part)) for part in parts]
        for package in (reference, candidate)
    )
    assert quality.tokens == 150
    assert quality.reference_perplexity == pytest.approx(perplexity(p, parts), rel=1e-4)
    assert quality.perplexity == pytest.approx(perplexity(q, parts), rel=1e-4)
    all_p, all_q = np.concatenate(p), np.concatenate(q)
    divergence = (np.exp(all_p) * (all_p - all_q)).sum(-1).mean()
    assert quality.mean_kl == pytest.approx(divergence, rel=1e-4)
    per_token = (np.exp(all_p) * (all_p - all_q)).sum(-1)
    assert quality.p99_kl == pytest.approx(np.quantile(per_token, 0.99), rel=1e-4)
    assert quality.top1 == (all_p.argmax(-1) == all_q.argmax(-1)).mean()


def perplexity(predictions: list[np.ndarray], parts: list[list[int]]) -> float:
    losses = [
        -row[token]
        for rows, part in zip(predictions, parts, strict=True)
        for row, token in zip(rows, part[1:], strict=False)
    ]
    return float(np.exp(np.mean(losses)))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
