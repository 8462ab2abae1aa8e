"""Log-probabilities of tokens and of continuations."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import ContextOverflowError, GenerationConfig, GenerationError, Generator
from gpt2_edge.graph.session import TokenSequence
from gpt2_edge.measure import predictions
from gpt2_edge.measure.score import ContinuationScorer, continuation, score_tokens, token_logprobs
from gpt2_edge_export.texts import REPORT_TEXT
from helpers import assert_one_line
from oracle import Oracle

CLOSE = 1e-4  # float32 against float64

LENGTHS = [2, 3, 16, 17, 18, 33, 129, 130, 257, 258, 513]
STARTS = [2, 16, 17, 100, 128, 129, 257, 512]


@pytest.fixture(scope="module")
def text_ids(fp32: Generator, sample_checkpoint: Path) -> list[int]:
    """One token more than the context of the sample holds."""
    assert fp32.tokenizer is not None
    return fp32.tokenizer.encode(REPORT_TEXT.read_text("utf-8"))[:513]


@pytest.fixture(scope="module")
def tiny(random_package: Callable[..., Path]) -> Path:
    """Random weights with a context of 64 and a vocabulary of 101."""
    return random_package()


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many tokens each step was fed, and of how many it gave logits."""
    steps: list[tuple[int, int]] = []
    feed = TokenSequence.feed

    def counting(self: TokenSequence, ids: Sequence[int], keep: int = 1) -> np.ndarray:
        logits = feed(self, ids, keep)
        steps.append((len(ids), len(logits)))
        return logits

    monkeypatch.setattr(TokenSequence, "feed", counting)
    return steps


def log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(-1, keepdims=True))


def oracle_logprobs(package: Path, ids: list[int]) -> np.ndarray:
    rows = log_softmax(Oracle.load(package.parent / "checkpoint").logits(ids[:-1]))
    return rows[np.arange(len(ids) - 1), ids[1:]]


@pytest.mark.parametrize("length", [2, 17, 64, 65])
def test_logprobs_are_the_oracle_s(tiny: Path, length: int) -> None:
    ids = np.random.default_rng(length).integers(0, 101, length).tolist()
    found = token_logprobs(Generator.load(tiny), ids)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, oracle_logprobs(tiny, ids), rtol=0, atol=CLOSE)


def test_logprobs_are_those_of_the_package_s_logits(
    generator: Generator, text_ids: list[int]
) -> None:
    rows = log_softmax(generator.logits(text_ids[:-1]))
    expected = rows[np.arange(512), text_ids[1:]]
    found = token_logprobs(generator, text_ids)
    # Chunks of another size: the same logits to the bit, summed in float32 and float64.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_where_scoring_starts_changes_nothing(generator: Generator, text_ids: list[int]) -> None:
    whole = token_logprobs(generator, text_ids)
    for start in STARTS:
        np.testing.assert_array_equal(
            token_logprobs(generator, text_ids, start), whole[start - 1 :]
        )


@pytest.mark.parametrize("length", [18, 130, 258])
def test_a_last_token_behind_full_groups_is_the_same_alone(
    generator: Generator, text_ids: list[int], length: int
) -> None:
    # Its row would be the only one behind a multiple of 16.
    ids = text_ids[:length]
    alone = token_logprobs(generator, ids, length - 1)
    np.testing.assert_array_equal(alone, token_logprobs(generator, ids)[-1:])


@pytest.mark.parametrize("chunk", [32, 48, 512])
def test_the_size_of_chunks_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, generator: Generator, text_ids: list[int], chunk: int
) -> None:
    whole = token_logprobs(generator, text_ids)
    monkeypatch.setattr(predictions, "_CHUNK", chunk)
    np.testing.assert_array_equal(token_logprobs(generator, text_ids), whole)


@pytest.mark.parametrize("length", LENGTHS)
def test_what_comes_later_changes_nothing(
    generator: Generator, text_ids: list[int], length: int
) -> None:
    found = token_logprobs(generator, text_ids[:length])
    expected = token_logprobs(generator, text_ids)[: length - 1]
    # A single token is fed as in decoding, and 4-bit kernels take the last of an odd number of rows
    # by other instructions: these are the same but for rounding noise.
    four_bits = generator.manifest.recipe["name"] == "int4"
    noisy = length == 2 or (four_bits and (length - 1) % 2)
    np.testing.assert_allclose(found[-1:], expected[-1:], rtol=0, atol=0.3 if noisy else 1e-5)
    np.testing.assert_allclose(found[:-1], expected[:-1], rtol=0, atol=1e-5)


def test_only_what_is_asked_for_gets_logits(
    fp32: Generator, text_ids: list[int], fed: list[tuple[int, int]]
) -> None:
    token_logprobs(fp32, text_ids, 400)
    assert fed == [(128, 1), (128, 1), (128, 1), (128, 128)]
    fed.clear()
    token_logprobs(fp32, text_ids[:130])  # no chunk of one token: it would be a lone row
    assert fed == [(112, 112), (17, 17)]


def test_a_continuation_is_the_sum_of_its_tokens(generator: Generator, text_ids: list[int]) -> None:
    found = continuation(generator, text_ids[:50], text_ids[50:60])
    expected = token_logprobs(generator, text_ids[:60], 50)
    assert found.tokens == len(found.logprobs) == 10
    np.testing.assert_array_equal(found.logprobs, expected)
    assert found.logprob == pytest.approx(expected.sum(), abs=1e-9)


def test_greedy_is_what_generate_writes(fp32: Generator, text_ids: list[int]) -> None:
    prompt = text_ids[:40]
    config = GenerationConfig(max_new_tokens=30, ignore_eos=True, logprobs=True)
    written = fp32.generate(prompt, config)
    found = continuation(fp32, prompt, written.ids)
    assert found.greedy
    np.testing.assert_allclose(found.logprobs, written.logprobs, rtol=0, atol=CLOSE)
    for place in (0, 13, 29):
        changed = list(written.ids)
        changed[place] ^= 1
        assert not continuation(fp32, prompt, changed).greedy


@pytest.mark.parametrize("wanted", [1, 5, 63, 64])
def test_a_context_that_does_not_fit_loses_its_beginning(tiny: Path, wanted: int) -> None:
    ids = np.random.default_rng(3).integers(0, 101, 200).tolist()
    found = continuation(Generator.load(tiny), ids[:-wanted], ids[-wanted:])
    expected = oracle_logprobs(tiny, ids[-65:])[-wanted:]
    np.testing.assert_allclose(found.logprobs, expected, rtol=0, atol=CLOSE)


def test_an_empty_context_is_the_bos_token(tiny: Path, random_package: Callable[..., Path]) -> None:
    generator = Generator.load(tiny)
    assert continuation(generator, [], [5, 6, 7]) == continuation(generator, [0], [5, 6, 7])
    eos_only = Generator.load(random_package(bos_token_id=None, eos_token_id=9))
    assert continuation(eos_only, [], [5, 6]) == continuation(eos_only, [9], [5, 6])


def test_without_a_bos_token_an_empty_context_is_an_error(
    random_package: Callable[..., Path],
) -> None:
    generator = Generator.load(random_package(bos_token_id=None, eos_token_id=None))
    with pytest.raises(GenerationError) as caught:
        continuation(generator, [], [5, 6])
    assert_one_line(caught.value, generator.package.folder, "no bos or eos token", "give a context")
    assert continuation(generator, [4], [5, 6]).tokens == 2


def test_a_scorer_gives_the_figures_of_a_fresh_one(
    generator: Generator, text_ids: list[int]
) -> None:
    drawn = random.Random(0)
    cuts = [(drawn.randrange(1, 200), drawn.randrange(1, 40)) for _ in range(12)]
    scorer = ContinuationScorer(generator)
    for place, length in cuts:
        context, wanted = text_ids[:place], text_ids[300 : 300 + length]
        assert scorer.score(context, wanted) == continuation(generator, context, wanted)


def test_what_continuations_share_is_fed_once(
    fp32: Generator, text_ids: list[int], fed: list[tuple[int, int]]
) -> None:
    scorer = ContinuationScorer(fp32)
    for wanted in ([1, 2, 3], [4, 5], [6]):
        scorer.score(text_ids[:100], wanted)
    # From position 96 on, the last multiple of 16 before the continuation.
    assert [step[0] for step in fed] == [102, 5, 4]
    fed.clear()
    scorer.score(text_ids[:97], [1])  # position 96 alone would be a lone row
    assert fed == [(17, 17)]


def test_scored_tokens(fp32: Generator, text_ids: list[int]) -> None:
    ids = text_ids[:30]
    first, *others = score_tokens(fp32, ids)
    assert (first.id, first.logprob, first.rank) == (ids[0], None, None)
    assert [token.id for token in others] == ids[1:]
    assert [token.text for token in others] == [fp32.token_label(i) for i in ids[1:]]
    np.testing.assert_array_equal([t.logprob for t in others], token_logprobs(fp32, ids))
    order = np.argsort(-fp32.logits(ids[:-1]), axis=-1, kind="stable")
    for token, row in zip(others, order, strict=True):
        assert token.rank is not None
        assert row[token.rank - 1] == token.id


def test_equal_logits_rank_by_id(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    logits = np.zeros((1, 101), np.float32)
    logits[0, 50] = 1
    monkeypatch.setattr(
        TokenSequence, "feed", lambda self, ids, keep: (self.ids.extend(ids), logits)[1]
    )
    monkeypatch.setattr(TokenSequence, "length", property(lambda self: len(self.ids)))
    generator = Generator.load(tiny)
    ranks = [score_tokens(generator, [1, token_id])[1].rank for token_id in (0, 7, 50, 51, 100)]
    assert ranks == [2, 9, 1, 52, 101]


def test_a_bos_token_predicts_the_first_token(fp32: Generator, text_ids: list[int]) -> None:
    scored = score_tokens(fp32, text_ids[:5], bos=True)
    assert [token.id for token in scored] == text_ids[:5]
    expected = token_logprobs(fp32, [0, *text_ids[:5]])
    np.testing.assert_array_equal([token.logprob for token in scored], expected)


@pytest.mark.parametrize(
    ("ids", "start", "expected"),
    [
        ([], 1, "two tokens or more, there are 0"),
        ([5], 1, "two tokens or more, there are 1"),
        ([5, 6], 0, "start is 0; it must be from 1 to 1"),
        ([5, 6], 2, "start is 2; it must be from 1 to 1"),
        ([5, 101], 1, "token id 101 is outside the vocabulary of 101"),
        ([-1, 5], 1, "token id -1 is outside the vocabulary of 101"),
    ],
)
def test_ids_that_cannot_be_scored(tiny: Path, ids: list[int], start: int, expected: str) -> None:
    with pytest.raises(GenerationError) as caught:
        token_logprobs(Generator.load(tiny), ids, start)
    assert_one_line(caught.value, expected)


def test_more_than_the_context_is_an_error(tiny: Path) -> None:
    generator = Generator.load(tiny)
    for too_long in (
        lambda: token_logprobs(generator, [1] * 66),
        lambda: score_tokens(generator, [1] * 66),
        lambda: score_tokens(generator, [1] * 65, bos=True),
        lambda: continuation(generator, [1], [1] * 65),
    ):
        with pytest.raises(ContextOverflowError) as caught:
            too_long()
        assert_one_line(caught.value, "64", "shorten it")


@pytest.mark.parametrize(
    ("context", "wanted", "expected"),
    [([1], [], "the continuation is empty"), ([1], [101], "101"), ([-1], [1], "-1")],
)
def test_a_continuation_that_cannot_be_scored(
    tiny: Path, context: list[int], wanted: list[int], expected: str
) -> None:
    with pytest.raises(GenerationError) as caught:
        continuation(Generator.load(tiny), context, wanted)
    assert_one_line(caught.value, expected)


@pytest.mark.optimum
def test_a_graph_that_gives_all_logits(
    sample_checkpoint: Path, tmp_path: Path, fp32: Generator, text_ids: list[int]
) -> None:
    """optimum's, which has no logits_to_keep."""
    pytest.importorskip("optimum.exporters.onnx")
    from gpt2_edge_export.export import ExportOptions, export_package

    options = ExportOptions(recipe="fp32", engine="optimum", report=False)
    export_package(sample_checkpoint, tmp_path / "package", options)
    stock = Generator.load(tmp_path / "package")
    assert stock.manifest.graph.names.logits_to_keep is None
    for start in (1, 130, 512):
        found = token_logprobs(stock, text_ids, start)
        expected = token_logprobs(fp32, text_ids, start)
        np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE)
    scorer = ContinuationScorer(stock)
    for wanted in ([1, 2, 3], [4, 5], [6]):
        found = scorer.score(text_ids[:100], wanted).logprob
        expected = continuation(fp32, text_ids[:100], wanted).logprob
        assert found == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("kind", [tuple, np.array, lambda ids: [np.int32(i) for i in ids]])
def test_ids_may_be_any_flat_sequence(fp32: Generator, text_ids: list[int], kind: Any) -> None:
    ids = text_ids[:20]
    np.testing.assert_array_equal(token_logprobs(fp32, kind(ids)), token_logprobs(fp32, ids))
    assert score_tokens(fp32, kind(ids)) == score_tokens(fp32, ids)
    assert continuation(fp32, kind(ids[:9]), kind(ids[9:])) == continuation(fp32, ids[:9], ids[9:])


@pytest.mark.parametrize(
    "ids", ["a text", b"ids", None, 5, [5.0, 6.0], ["5", "6"], [[5, 6]], [True, 5], {5: 6}]
)
def test_what_are_no_ids_is_told(fp32: Generator, ids: Any) -> None:
    for call in (
        lambda: token_logprobs(fp32, ids),
        lambda: score_tokens(fp32, ids),
        lambda: score_tokens(fp32, ids, bos=True),
        lambda: continuation(fp32, ids, [5]),
        lambda: continuation(fp32, [5], ids),
    ):
        with pytest.raises(GenerationError) as caught:
            call()
        assert_one_line(caught.value, "ids ", "give a flat sequence of token ids")


@pytest.mark.parametrize("start", [0, 3, 1.0, "1", None, True])
def test_start_is_within_the_ids(fp32: Generator, start: Any) -> None:
    with pytest.raises(GenerationError) as caught:
        token_logprobs(fp32, [5, 6, 7], start)
    assert_one_line(caught.value, f"start is {start!r}; it must be from 1 to 2")


def test_a_bos_token_is_not_doubled(fp32: Generator, text_ids: list[int]) -> None:
    ids = text_ids[:9]
    begun = [0, *ids]
    scored = score_tokens(fp32, begun, bos=True)
    assert scored == score_tokens(fp32, begun)
    assert [token.logprob for token in scored[1:]] == [
        token.logprob for token in score_tokens(fp32, ids, bos=True)
    ]
