"""How a context and what follows it become ids, and what happens where they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_edge import Generator
from gpt2_edge.errors import ContextOverflowError, EvaluationError
from gpt2_edge.measure.evaluate.scoring import TextScorer, likeliest, score_all, split_ids
from gpt2_edge.text.tokenizer import Tokenizer

LogProbabilities = Callable[[Sequence[int], Sequence[int]], np.ndarray]


@pytest.fixture(scope="module")
def tokenizer(fp32: Generator) -> Tokenizer:
    assert fp32.tokenizer is not None
    return fp32.tokenizer


@pytest.mark.parametrize(
    ("context", "text"), [("What do", " you"), ("What do ", "you"), ("What do  \n", "you")]
)
def test_white_space_goes_with_the_word_behind_it(
    tokenizer: Tokenizer, context: str, text: str
) -> None:
    context_ids, ids = split_ids(tokenizer, context, text)
    assert context_ids == tokenizer.encode("What do")
    assert context_ids + ids == tokenizer.encode(context + text)


def test_a_border_within_a_token(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("under")) == 1
    context_ids, ids = split_ids(tokenizer, "un", "der")
    assert context_ids == tokenizer.encode("un")
    assert ids == tokenizer.encode("der")


def test_nothing_before_the_text(tokenizer: Tokenizer) -> None:
    assert split_ids(tokenizer, "", "One") == ([], tokenizer.encode("One"))
    assert split_ids(tokenizer, " ", "One") == ([], tokenizer.encode(" One"))


@settings(deadline=None)
@given(context=st.text(), text=st.text(min_size=1))
def test_context_and_text_together_say_both(tokenizer: Tokenizer, context: str, text: str) -> None:
    # The start of the text is no special token that its characters only spell.
    context_ids, ids = split_ids(tokenizer, context, text)
    whole = (context + text).encode("utf-8", "replace").decode()
    if "<|" not in whole:
        assert tokenizer.decode([*context_ids, *ids]) == whole
        assert ids


def test_the_log_probability_is_the_oracle_s(
    scorer: TextScorer, tokenizer: Tokenizer, logprobs: LogProbabilities
) -> None:
    context, text = tokenizer.encode("The man said that"), tokenizer.encode(" he was glad")
    scored = scorer.score("The man said that", " he was glad")
    assert scored.logprob == pytest.approx(logprobs(context, text).sum(), abs=1e-4)
    assert not scored.truncated


def test_a_context_that_does_not_fit_loses_its_beginning(
    scorer: TextScorer, tokenizer: Tokenizer, logprobs: LogProbabilities
) -> None:
    # 512 tokens of context: 510 fed before a target of 3, whose last is only predicted.
    context = "The dog ran and the cat slept." * 80
    context_ids = tokenizer.encode(context)
    target_ids = tokenizer.encode(" in the house")
    assert len(context_ids) > 512
    assert len(target_ids) == 3
    scored = scorer.score(context, " in the house")
    assert scored.truncated
    expected = logprobs(context_ids[-510:], target_ids).sum()
    assert scored.logprob == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("tokens", "truncated"), [(512, False), (513, True)])
def test_truncated_means_that_a_token_was_dropped(
    scorer: TextScorer, tokenizer: Tokenizer, tokens: int, truncated: bool
) -> None:
    context = " the" * tokens
    assert len(tokenizer.encode(context)) == tokens
    assert len(tokenizer.encode(" dog")) == 1
    assert scorer.score(context, " dog").truncated is truncated


def test_items_that_do_not_fit_are_counted(silent: Callable[[str], None]) -> None:
    def score(item: int) -> int:
        if item < 0:
            raise ContextOverflowError("too long")
        return item

    outcomes = score_all([1, -1, 2, -2, 3], score, silent, "test")
    assert outcomes.scored == [1, 2, 3]
    assert outcomes.skipped == 2
    with pytest.raises(EvaluationError, match="no item of test fits the model's context"):
        score_all([-1], score, silent, "test")


def test_progress_counts_the_items() -> None:
    shown: list[str] = []
    score_all(range(1200), lambda item: item, shown.append, "test")
    assert shown[0] == "test: 0 of 1,200"
    assert shown[-1] == "test: 1,199 of 1,200"


def test_the_likeliest_is_the_first_among_equals() -> None:
    assert likeliest([-3.0, -1.0, -2.0]) == 1
    assert likeliest([-3.0, -1.0, -1.0]) == 1
