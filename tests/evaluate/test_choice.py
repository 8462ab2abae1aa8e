"""Choices between options, against the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from gpt2_edge import Generator
from gpt2_edge.errors import EvaluationError
from gpt2_edge.measure.evaluate import choice
from gpt2_edge.measure.evaluate.choice import Outcome, Question
from gpt2_edge.measure.evaluate.scoring import TextScorer
from helpers import assert_one_line

LogProbabilities = Callable[[Sequence[int], Sequence[int]], np.ndarray]

# A long option is less likely, and each of its bytes more so.
QUESTIONS = [
    Question("What do you", ("mean by that?", "go", "é"), 0),
    Question("The sun was", ("setting behind the mountains", "blue", "sun"), 1),
    Question("", ("The house", "Zebra"), 0),
]


def test_choices_are_the_oracle_s(
    fp32: Generator,
    scorer: TextScorer,
    logprobs: LogProbabilities,
    silent: Callable[[str], None],
) -> None:
    expected = []
    for question in QUESTIONS:
        context = fp32.encode(question.context) if question.context else [0]  # bos
        space = " " if question.context else ""
        sums = [logprobs(context, fp32.encode(space + o)).sum() for o in question.options]
        per_byte = [
            total / len(o.encode()) for total, o in zip(sums, question.options, strict=True)
        ]
        expected.append(
            Outcome(int(np.argmax(sums)), int(np.argmax(per_byte)), question.label, False)
        )
    assert [choice.score(scorer, question) for question in QUESTIONS] == expected
    assert any(outcome.chosen != outcome.chosen_per_byte for outcome in expected)

    evaluation = choice.evaluate(QUESTIONS, fp32, silent)
    share = 100 * np.mean([outcome.chosen == outcome.label for outcome in expected])
    assert evaluation.figure("accuracy").value == pytest.approx(share)
    share = 100 * np.mean([outcome.chosen_per_byte == outcome.label for outcome in expected])
    assert evaluation.figure("accuracy per byte").value == pytest.approx(share)


def test_the_order_of_the_options_decides_nothing(scorer: TextScorer) -> None:
    for question in QUESTIONS:
        last = len(question.options) - 1
        turned = Question(question.context, question.options[::-1], last - question.label)
        outcome, other = choice.score(scorer, question), choice.score(scorer, turned)
        assert outcome.chosen == last - other.chosen
        assert outcome.chosen_per_byte == last - other.chosen_per_byte


@pytest.mark.parametrize(
    ("context", "space"), [("What do you", ""), ("What do you", " "), ("What do you ", "")]
)
def test_one_space_stands_before_an_option(
    scorer: TextScorer, monkeypatch: pytest.MonkeyPatch, context: str, space: str
) -> None:
    texts: list[str] = []
    score = TextScorer.score

    def listen(self: TextScorer, before: str, text: str) -> object:
        texts.append(before + text)
        return score(self, before, text)

    monkeypatch.setattr(TextScorer, "score", listen)
    choice.score(scorer, Question(context, (space + "mean", space + "go"), 0))
    assert texts == ["What do you mean", "What do you go"]


def test_read(write_rows: Callable[..., Path]) -> None:
    row = {"context": "", "options": ["a", "b", "c"], "label": 2, "source": "ours"}
    assert choice.read(write_rows(row)) == [Question("", ("a", "b", "c"), 2)]
    path = write_rows(row, row, row | {"context": 1})
    assert len(choice.read(path, limit=2)) == 2
    with pytest.raises(EvaluationError) as caught:
        choice.read(path)
    assert_one_line(caught.value, f"{path}, line 3", '"context" must be a string')


def test_a_context_that_is_cut_is_counted(fp32: Generator, silent: Callable[[str], None]) -> None:
    questions = [Question("One", ("two", "three"), 0), Question(" the" * 600, ("two", "six"), 0)]
    assert choice.evaluate(questions, fp32, silent).truncated == 1
