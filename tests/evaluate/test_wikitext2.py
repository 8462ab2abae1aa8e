"""Perplexity of a raw text, against windows walked by the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from gpt2_edge import Generator, text_perplexity
from gpt2_edge.errors import EvaluationError, GenerationError
from gpt2_edge.measure.evaluate import wikitext2
from helpers import assert_one_line

LogProbabilities = Callable[[Sequence[int], Sequence[int]], np.ndarray]

TEXT = " \n = A Heading = \n \n The ship left the harbour at noon , and no one saw it again . \n"
WORDS = 19
LINE_ENDS = 4


def test_figures_are_the_oracle_s(
    fp32: Generator, logprobs: LogProbabilities, silent: Callable[[str], None]
) -> None:
    ids = fp32.encode(TEXT)
    window, stride = 16, 6
    assert window < len(ids) < 60
    losses: list[float] = []
    for end in range(1, len(ids)):  # every token but the first, from the window it is new in
        start = 0 if end < window else -(-(end + 1 - window) // stride) * stride
        losses.append(-logprobs(ids[start:end], ids[end : end + 1])[0])
    total, spread = sum(losses), np.std(losses, ddof=1)

    evaluation = wikitext2.evaluate(TEXT, fp32, silent, window=window, stride=stride)
    assert evaluation.items == LINE_ENDS
    assert evaluation.counts == {
        "tokens": len(losses),
        "words": WORDS,
        "window": window,
        "stride": stride,
    }
    units = {
        "perplexity per token": len(losses),
        "perplexity per word": WORDS,
        "perplexity per word or line end": WORDS + LINE_ENDS,
    }
    for name, count in units.items():
        figure = evaluation.figure(name)
        assert figure.value == pytest.approx(math.exp(total / count), rel=1e-4)
        expected_error = figure.value * math.sqrt(len(losses)) * spread / count
        assert figure.standard_error == pytest.approx(expected_error, rel=1e-4)


def test_the_window_is_the_context_by_default(
    fp32: Generator, silent: Callable[[str], None]
) -> None:
    counts = wikitext2.evaluate("One two\n", fp32, silent).counts
    assert (counts["window"], counts["stride"]) == (512, 256)


@pytest.mark.parametrize(
    ("limit", "expected"), [(1, "one\n"), (2, "one\n\u2028two\n"), (3, "one\n\u2028two\nthree")]
)
def test_the_limit_is_in_lines(tmp_path: Path, limit: int, expected: str) -> None:
    path = tmp_path / "data"
    path.write_text("one\n\u2028two\nthree", "utf-8")
    assert wikitext2.read(path, limit) == expected
    assert wikitext2.read(path) == wikitext2.read(path, 100) == "one\n\u2028two\nthree"


def test_lines_of_white_space_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text(" \n \n text\n", "utf-8")
    with pytest.raises(EvaluationError) as caught:
        wikitext2.read(path, 2)
    assert_one_line(caught.value, path, "first 2 lines")


def test_a_text_without_words_is_no_overflow(
    fp32: Generator, silent: Callable[[str], None]
) -> None:
    evaluation = wikitext2.evaluate("zq" * 2000, fp32, silent)
    assert evaluation.figure("perplexity per word").value == math.inf
    assert math.isfinite(evaluation.figure("perplexity per token").value)


def test_one_prediction_has_no_spread(fp32: Generator, silent: Callable[[str], None]) -> None:
    assert len(fp32.encode("One day")) == 2
    evaluation = wikitext2.evaluate("One day", fp32, silent)
    assert evaluation.items == 1
    assert [figure.standard_error for figure in evaluation.figures] == [None] * 3


def test_a_window_out_of_range(fp32: Generator, silent: Callable[[str], None]) -> None:
    with pytest.raises(GenerationError) as caught:
        wikitext2.evaluate(TEXT, fp32, silent, window=513)
    assert_one_line(caught.value, "window is 513")


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_a_file_has_one_perplexity_whatever_its_line_ends(
    fp32: Generator, tmp_path: Path, silent: Callable[[str], None], line_end: str
) -> None:
    (tmp_path / "plain").write_bytes(TEXT.encode())
    (tmp_path / "other").write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", line_end).encode())
    texts = [wikitext2.read(tmp_path / name) for name in ("plain", "other")]
    assert texts[0] == texts[1] == TEXT
    evaluation = wikitext2.evaluate(texts[1], fp32, silent)
    expected = text_perplexity(fp32, TEXT).perplexity
    assert evaluation.figure("perplexity per token").value == pytest.approx(expected)
