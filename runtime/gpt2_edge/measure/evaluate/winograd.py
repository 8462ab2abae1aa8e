"""The Winograd Schema Challenge by substitution (Trinh and Le 2018; GPT-2 paper, section 3.4).

Data: JSONL of {"before", "pronoun", "after", "options", "label"}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt2_edge.generate import Generator
from gpt2_edge.measure.evaluate import paper
from gpt2_edge.measure.evaluate.data import read_jsonl
from gpt2_edge.measure.evaluate.record import Evaluation, Reference, Show, accuracy
from gpt2_edge.measure.evaluate.scoring import Scored, TextScorer, likeliest, score_all

_POSSESSIVES = frozenset({"my", "your", "his", "her", "its", "our", "their"})
_DETERMINERS = _POSSESSIVES | {"the", "a", "an", "this", "that", "these", "those"}
_NO_SPACE_BEFORE = frozenset(".,;:!?)'’")


@dataclass(frozen=True)
class Substitution:
    """A sentence with an option in the pronoun's place, cut behind the option."""

    beginning: str
    rest: str


@dataclass(frozen=True)
class Problem:
    """The substitutions of one sentence, and which of them is right."""

    substitutions: tuple[Substitution, ...]
    label: int


@dataclass(frozen=True)
class Outcome:
    """Which option each scoring chose."""

    partial: int
    full: int
    label: int
    truncated: bool


def read(path: Path, limit: int | None = None) -> list[Problem]:
    """The problems of a JSONL file, the first `limit` only; EvaluationError."""
    problems = []
    for record in read_jsonl(path, limit):
        before, pronoun, after = (record.text(name) for name in ("before", "pronoun", "after"))
        if not pronoun.strip() or not after.strip():
            raise record.error('"pronoun" and "after" must not be empty')
        options = record.options()
        problems.append(
            Problem(
                tuple(substitute(before, pronoun, after, option) for option in options),
                record.label(len(options)),
            )
        )
    return problems


def substitute(before: str, pronoun: str, after: str, option: str) -> Substitution:
    """Put `option` where `pronoun` is, written as it must be there.

    A pronoun with a capital begins a sentence, and so does the option then; otherwise an article
    or another determiner at the option's beginning loses its capital ("The trophy" becomes "the
    trophy"; names keep theirs). A possessive pronoun makes the option possessive ("her" becomes
    "Susan's"); "her" before punctuation is none. One space stands between the parts, none before
    punctuation.
    """
    before, pronoun, after, option = (s.strip() for s in (before, pronoun, after, option))
    punctuation = after[0] in _NO_SPACE_BEFORE
    first = option.split()[0]
    if pronoun[0].isupper():
        option = option[0].upper() + option[1:]
    elif first.lower() in _DETERMINERS:
        option = option[0].lower() + option[1:]
    if pronoun.lower() in _POSSESSIVES and not punctuation:
        option += "'s"
    beginning = f"{before} {option}" if before else option
    return Substitution(beginning, after if punctuation else f" {after}")


def score(scorer: TextScorer, problem: Problem) -> Outcome:
    """The option that each of Trinh and Le's two scorings chooses; the first among equals.

    Partial: the probability of the rest of the sentence given its beginning with the option.
    Full: the probability of the whole sentence with the option.
    """
    partial = [scorer.score(s.beginning, s.rest) for s in problem.substitutions]
    full = [scorer.score("", s.beginning + s.rest) for s in problem.substitutions]
    return Outcome(
        partial=_choice(partial),
        full=_choice(full),
        label=problem.label,
        truncated=any(scored.truncated for scored in partial),
    )


def evaluate(problems: Sequence[Problem], generator: Generator, show: Show) -> Evaluation:
    """Accuracy of partial and of full scoring.

    Each problem is scored once, as the file has it, and both scorings compare the same sentences,
    so the order in which a problem names its options decides nothing but a tie. The paper's 70.70%
    is 193 of all 273 problems; it is put beside partial scoring.
    """
    scorer = TextScorer(generator)
    outcomes = score_all(problems, lambda problem: score(scorer, problem), show, "winograd")
    scored = outcomes.scored
    return Evaluation(
        task="winograd",
        item="problems",
        items=len(scored),
        truncated=sum(outcome.truncated for outcome in scored),
        skipped=outcomes.skipped,
        figures=(
            accuracy(
                "accuracy, partial scoring",
                [outcome.partial == outcome.label for outcome in scored],
                Reference("Winograd", paper.WINOGRAD_ACCURACY),
            ),
            accuracy(
                "accuracy, full scoring", [outcome.full == outcome.label for outcome in scored]
            ),
        ),
    )


def _choice(scored: Sequence[Scored]) -> int:
    return likeliest([each.logprob for each in scored])
