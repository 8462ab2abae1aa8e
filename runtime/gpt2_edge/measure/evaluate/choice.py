"""Any choice between options, as lm-evaluation-harness scores them.

Data: JSONL of {"context", "options", "label"}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt2_edge.generate import Generator
from gpt2_edge.measure.evaluate.data import read_jsonl
from gpt2_edge.measure.evaluate.record import Evaluation, Show, accuracy
from gpt2_edge.measure.evaluate.scoring import TextScorer, likeliest, score_all


@dataclass(frozen=True)
class Question:
    """A context, its possible continuations, and the number of the right one."""

    context: str
    options: tuple[str, ...]
    label: int


@dataclass(frozen=True)
class Outcome:
    """Which option is likeliest, and which is likeliest for each of its bytes."""

    chosen: int
    chosen_per_byte: int
    label: int
    truncated: bool


def read(path: Path, limit: int | None = None) -> list[Question]:
    """The questions of a JSONL file, the first `limit` only; EvaluationError."""
    questions = []
    for record in read_jsonl(path, limit):
        options = record.options()
        questions.append(Question(record.text("context"), options, record.label(len(options))))
    return questions


def score(scorer: TextScorer, question: Question) -> Outcome:
    """The choices that the model makes; the first among equals.

    A space is put between context and option where neither has white space there. The bytes are
    those of the option as UTF-8, as it stands in the data.
    """
    scored = [
        scorer.score(question.context, _separator(question.context, option) + option)
        for option in question.options
    ]
    sizes = [len(option.encode("utf-8", "replace")) for option in question.options]
    return Outcome(
        chosen=likeliest([each.logprob for each in scored]),
        chosen_per_byte=likeliest(
            [each.logprob / size for each, size in zip(scored, sizes, strict=True)]
        ),
        label=question.label,
        truncated=any(each.truncated for each in scored),
    )


def evaluate(questions: Sequence[Question], generator: Generator, show: Show) -> Evaluation:
    """Accuracy by the options' log-probabilities, and by these per byte."""
    scorer = TextScorer(generator)
    outcomes = score_all(questions, lambda question: score(scorer, question), show, "choice")
    scored = outcomes.scored
    return Evaluation(
        task="choice",
        item="questions",
        items=len(scored),
        truncated=sum(outcome.truncated for outcome in scored),
        skipped=outcomes.skipped,
        figures=(
            accuracy("accuracy", [outcome.chosen == outcome.label for outcome in scored]),
            accuracy(
                "accuracy per byte",
                [outcome.chosen_per_byte == outcome.label for outcome in scored],
            ),
        ),
    )


def _separator(context: str, option: str) -> str:
    return " " if context and not context[-1].isspace() and not option[0].isspace() else ""
