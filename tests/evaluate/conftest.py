"""The sample model, the oracle of its checkpoint, and hand-made data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import Generator
from gpt2_edge.measure.evaluate.scoring import TextScorer
from oracle import Oracle

WriteRows = Callable[..., Path]
LogProbabilities = Callable[[Sequence[int], Sequence[int]], np.ndarray]


@pytest.fixture(scope="session")
def fp32(sample_fp32: Path) -> Generator:
    return Generator.load(sample_fp32)


@pytest.fixture
def scorer(fp32: Generator) -> TextScorer:
    return TextScorer(fp32)


@pytest.fixture(scope="session")
def oracle(sample_checkpoint: Path) -> Oracle:
    return Oracle.load(sample_checkpoint)


@pytest.fixture(scope="session")
def logprobs(oracle: Oracle) -> LogProbabilities:
    """A function (context ids, ids) -> log-probabilities of ids after the context, in float64."""

    def compute(context: Sequence[int], ids: Sequence[int]) -> np.ndarray:
        logits = oracle.logits([*context, *ids][:-1])[len(context) - 1 :]
        peaks = logits.max(-1, keepdims=True)
        log_sums = peaks + np.log(np.exp(logits - peaks).sum(-1, keepdims=True))
        return np.asarray((logits - log_sums)[np.arange(len(ids)), list(ids)])

    return compute


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """A function that writes its arguments as lines of a JSONL file: objects, or text as it is."""

    def write(*rows: Any) -> Path:
        path = tmp_path / "data.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return write


@pytest.fixture
def silent() -> Callable[[str], None]:
    """Takes the progress and does nothing with it."""
    return lambda text: None
