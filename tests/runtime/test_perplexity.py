"""Perplexity of texts longer than the context."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_edge import GenerationError, Generator
from gpt2_edge.measure.score import (
    _windows,
    perplexity,
    text_perplexity,
    token_logprobs,
)
from gpt2_edge.measure.scores import Perplexity
from gpt2_edge_export.texts import REPORT_TEXT
from helpers import assert_one_line
from oracle import Oracle


@pytest.fixture(scope="module")
def text(sample_checkpoint: Path) -> str:
    return REPORT_TEXT.read_text("utf-8")[:4000]


@pytest.fixture(scope="module")
def tiny(random_package: Callable[..., Path]) -> Path:
    """Random weights with a context of 64 and a vocabulary of 101."""
    return random_package()


@pytest.fixture(scope="module")
def long_ids() -> list[int]:
    ids: list[int] = np.random.default_rng(5).integers(0, 101, 300).tolist()
    return ids


@given(length=st.integers(2, 300), window=st.integers(2, 40), data=st.data())
def test_windows_predict_each_token_once_with_enough_before_it(
    length: int, window: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, window - 1))
    predicted = []
    for begin, end, first in _windows(length, window, stride):
        assert 0 <= begin < first < end <= length
        assert end - begin <= window
        assert begin == 0 or first - begin >= window - stride
        predicted += range(first, end)
    assert predicted == list(range(1, length))


@given(length=st.integers(2, 300), window=st.integers(2, 40))
def test_windows_that_do_not_overlap_predict_all_but_their_first(length: int, window: int) -> None:
    predicted = [i for _, end, first in _windows(length, window, window) for i in range(first, end)]
    assert predicted == [i for i in range(length) if i % window]


@pytest.mark.parametrize(("window", "stride"), [(None, None), (64, 16), (48, 48), (33, 7), (2, 1)])
def test_perplexity_is_the_oracle_s(
    tiny: Path, long_ids: list[int], window: int | None, stride: int | None
) -> None:
    found = perplexity(Generator.load(tiny), long_ids, window, stride)
    oracle = Oracle.load(tiny.parent / "checkpoint")
    size = window or 64
    step = stride or size // 2
    assert (found.window, found.stride) == (size, step)
    losses = []
    seen = 1  # the first token is not predicted
    for begin in range(0, 300, step):  # as in transformers' documentation
        part = long_ids[begin : begin + size]
        logits = oracle.logits(part)
        logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for position in range(max(seen, begin + 1), begin + len(part)):
            losses.append(-logprobs[position - begin - 1, long_ids[position]])
        seen = begin + len(part)
        if seen == 300:
            break
    assert found.tokens == len(losses)
    assert found.negative_log_likelihood == pytest.approx(sum(losses), rel=1e-6)
    assert found.perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)
    deviation = np.std(losses, ddof=1) / math.sqrt(len(losses))
    assert found.standard_error == pytest.approx(found.perplexity * deviation, rel=1e-5)


def test_a_stride_of_a_window_is_the_mean_over_independent_windows(
    generator: Generator, text: str
) -> None:
    assert generator.tokenizer is not None
    ids = generator.tokenizer.encode(text)
    parts = [ids[begin : begin + 200] for begin in range(0, len(ids), 200)]
    logprobs = np.concatenate([token_logprobs(generator, part) for part in parts])
    found = perplexity(generator, ids, 200, 200)
    assert found.tokens == len(logprobs) == len(ids) - len(parts)
    assert found.perplexity == pytest.approx(math.exp(-logprobs.mean()), rel=1e-12)


def test_a_text_within_the_context_is_one_window(fp32: Generator, text: str) -> None:
    ids = fp32.encode(text[:1000])
    found = perplexity(fp32, ids)
    expected = math.exp(-token_logprobs(fp32, ids).mean())
    assert found.tokens == len(ids) - 1
    assert found.perplexity == pytest.approx(expected, rel=1e-12)


def test_more_context_predicts_better(fp32: Generator, text: str) -> None:
    found = [text_perplexity(fp32, text, 256, stride).perplexity for stride in (64, 256)]
    assert found[0] < found[1] < 100  # 62.5 with more context and text (models/sample)


def test_bos_predicts_the_first_token_too(fp32: Generator, text: str) -> None:
    ids = fp32.encode(text[:1000])
    found = perplexity(fp32, ids, bos=True)
    expected = token_logprobs(fp32, [0, *ids])
    assert found.tokens == len(ids)
    assert found.negative_log_likelihood == pytest.approx(-expected.sum(), rel=1e-12)
    assert perplexity(fp32, ids[:1], bos=True).tokens == 1


def test_bits_per_byte(fp32: Generator) -> None:
    for text in ("Ärger – its third word", "It was the best of times"):
        whole = text_perplexity(fp32, text, bos=True)
        assert whole.text_bytes == len(text.encode())
        expected = whole.negative_log_likelihood / math.log(2) / len(text.encode())
        assert whole.bits_per_byte == pytest.approx(expected)
    assert fp32.token_label(fp32.encode(text)[0]) == "It"
    assert text_perplexity(fp32, text).text_bytes == len(text) - 2


def test_bits_per_byte_is_only_told_where_all_bytes_were_predicted(
    fp32: Generator, text: str
) -> None:
    assert perplexity(fp32, fp32.encode(text[:300])).bits_per_byte is None
    assert text_perplexity(fp32, text[:1500], 64, 64).bits_per_byte is None
    assert text_perplexity(fp32, text[:1500], 64, 63).bits_per_byte is not None


def test_one_token_has_no_standard_error(tiny: Path) -> None:
    found = perplexity(Generator.load(tiny), [4, 5])
    assert found.tokens == 1
    assert math.isnan(found.standard_error)


def test_progress_ends_with_the_result(tiny: Path, long_ids: list[int]) -> None:
    shown: list[str] = []
    found = perplexity(Generator.load(tiny), long_ids, show=shown.append)
    assert shown[0].startswith("64 of 300 tokens")
    assert shown[-1] == f"300 of 300 tokens, perplexity {found.perplexity:.2f}"
    assert len(shown) == 1 + math.ceil((300 - 64) / 32)


@pytest.mark.parametrize(
    ("count", "window", "stride", "expected"),
    [
        (0, None, None, "perplexity needs two tokens or more, the text has 0"),
        (1, None, None, "perplexity needs two tokens or more, the text has 1"),
        (9, 65, None, "window is 65; it must be from 2 to the model's context of 64"),
        (9, 1, None, "window is 1;"),
        (9, None, 65, "stride is 65; it must be from 1 to the window of 64"),
        (9, 16, 17, "stride is 17; it must be from 1 to the window of 16"),
        (9, 16, 0, "stride is 0;"),
    ],
)
def test_what_cannot_be_measured(
    tiny: Path, count: int, window: int | None, stride: int | None, expected: str
) -> None:
    with pytest.raises(GenerationError) as caught:
        perplexity(Generator.load(tiny), [3] * count, window, stride)
    assert_one_line(caught.value, expected)


def test_a_text_needs_a_tokenizer(tiny: Path) -> None:
    with pytest.raises(GenerationError) as caught:
        text_perplexity(Generator.load(tiny), "text")
    assert_one_line(caught.value, tiny, "no tokenizer", "ids")


@pytest.mark.optimum
@pytest.mark.parametrize("stride", [256, 512])
def test_perplexity_is_transformers_to_four_digits(
    sample_checkpoint: Path, fp32: Generator, stride: int
) -> None:
    torch: Any = pytest.importorskip("torch")
    transformers: Any = pytest.importorskip("transformers")
    model = transformers.GPT2LMHeadModel.from_pretrained(
        sample_checkpoint, dtype=torch.float32
    ).eval()
    text = REPORT_TEXT.read_text("utf-8")[:30_000]
    assert fp32.tokenizer is not None
    ids = torch.tensor([fp32.tokenizer.encode(text)])

    # https://huggingface.co/docs/transformers/perplexity, summed by token instead of averaged
    loss, tokens, previous = 0.0, 0, 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + 512, ids.shape[1])
        targets = ids[:, begin:end].clone()
        targets[:, : previous - begin] = -100
        with torch.no_grad():
            mean = model(ids[:, begin:end], labels=targets).loss
        valid = int((targets[:, 1:] != -100).sum())
        loss += float(mean) * valid
        tokens += valid
        previous = end
        if end == ids.shape[1]:
            break

    found = perplexity(fp32, ids[0].tolist(), 512, stride)
    assert found.tokens == tokens
    assert f"{found.perplexity:.4g}" == f"{math.exp(loss / tokens):.4g}"
    assert found.perplexity == pytest.approx(math.exp(loss / tokens), rel=1e-5)


def test_a_bos_token_is_not_doubled(fp32: Generator, text: str) -> None:
    short = text[:300]
    expected = text_perplexity(fp32, short, bos=True)
    found = text_perplexity(fp32, "<|endoftext|>" + short, bos=True)
    assert found == expected
    ids = fp32.encode(short)
    assert perplexity(fp32, [0, *ids], bos=True) == perplexity(fp32, ids, bos=True)


@pytest.mark.parametrize("wrong", [1.5, 64.0, "64", True, [64]])
@pytest.mark.parametrize("name", ["window", "stride"])
def test_windows_are_whole_numbers(fp32: Generator, name: str, wrong: Any) -> None:
    with pytest.raises(GenerationError) as caught:
        perplexity(fp32, [5, 6, 7], **{name: wrong})
    assert_one_line(caught.value, f"{name} is {wrong!r}; it must be from ")
    found = perplexity(fp32, [5, 6, 7], **{name: np.int64(2)})
    assert found == perplexity(fp32, [5, 6, 7], **{name: 2})


@pytest.mark.parametrize("text", [None, 5, b"text", [1, 2], ["a"]])
def test_only_text_has_bits_per_byte(fp32: Generator, text: Any) -> None:
    with pytest.raises(GenerationError) as caught:
        text_perplexity(fp32, text)
    assert_one_line(caught.value, "the text is ", "give a string")


def test_a_loss_that_no_float_holds_is_infinite() -> None:
    assert Perplexity(1, 1000.0, math.nan, 2, 1).perplexity == math.inf
