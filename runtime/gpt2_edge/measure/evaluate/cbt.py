"""The Children's Book Test (Hill et al. 2015; GPT-2 paper, section 3.2).

Data: the test's own files, such as cbtest_CN_valid_2000ex.txt. Lines 1 to 20 of an example are
numbered sentences; line 21 is a sentence with XXXXX in place of a word, a tab, the word, two
tabs, and the candidates with | between them. A blank line ends the example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt2_edge.errors import EvaluationError
from gpt2_edge.generate import Generator
from gpt2_edge.measure.evaluate import paper
from gpt2_edge.measure.evaluate.data import read_text
from gpt2_edge.measure.evaluate.detokenize import detokenize
from gpt2_edge.measure.evaluate.record import Evaluation, Reference, Show, accuracy
from gpt2_edge.measure.evaluate.scoring import TextScorer, likeliest, score_all

_BLANK = "XXXXX"
_QUERY_LINE = 21


@dataclass(frozen=True)
class Example:
    """Text before the missing word, the text after it, and the candidates for it."""

    before: str
    after: str
    candidates: tuple[str, ...]
    label: int


@dataclass(frozen=True)
class Outcome:
    """Which candidate the model chose."""

    chosen: int
    label: int
    truncated: bool


def read(path: Path, limit: int | None = None) -> list[Example]:
    """The examples of a file, the first `limit` only; EvaluationError."""
    examples: list[Example] = []
    sentences: list[str] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if len(examples) == limit:
            return examples
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        expected = len(sentences) + 1
        label, _, sentence = line.strip("\r\n").partition(" ")
        if label != str(expected):
            raise EvaluationError(
                f"{where}: this must be line {expected} of an example, and begin with "
                f"{expected} and a space"
            )
        if expected < _QUERY_LINE:
            sentences.append(sentence)
        else:
            examples.append(_example(sentences, sentence, where))
            sentences = []
    if sentences:
        raise EvaluationError(f"{path} ends after line {len(sentences)} of an example")
    return examples


def _example(sentences: Sequence[str], query: str, where: str) -> Example:
    parts = query.split("\t")
    if len(parts) != 4 or parts[2] or _BLANK not in parts[0]:
        raise EvaluationError(
            f"{where}: this must be a sentence with {_BLANK}, a tab, the answer, two tabs, and "
            f"candidates with | between them"
        )
    sentence, answer, _, listed = parts
    candidates = tuple(part.strip() for part in listed.split("|") if part.strip())
    if len(candidates) < 2 or answer.strip() not in candidates:
        raise EvaluationError(f"{where}: the answer must be among two candidates or more")
    # The word's place is kept through the detokenizer, which joins quotes and punctuation to it.
    text = detokenize(" ".join([*sentences, sentence]))
    before, _, after = text.partition(_BLANK)
    return Example(before, after, candidates, candidates.index(answer.strip()))


def score(scorer: TextScorer, example: Example) -> Outcome:
    """The candidate with which it and the rest of its sentence are likeliest."""
    scored = [
        scorer.score(example.before, candidate + example.after) for candidate in example.candidates
    ]
    return Outcome(
        chosen=likeliest([each.logprob for each in scored]),
        label=example.label,
        truncated=any(each.truncated for each in scored),
    )


def evaluate(examples: Sequence[Example], generator: Generator, show: Show) -> Evaluation:
    """Accuracy; a file does not say which of the paper's rows is its own, so both are named."""
    scorer = TextScorer(generator)
    outcomes = score_all(examples, lambda example: score(scorer, example), show, "cbt")
    scored = outcomes.scored
    return Evaluation(
        task="cbt",
        item="examples",
        items=len(scored),
        truncated=sum(outcome.truncated for outcome in scored),
        skipped=outcomes.skipped,
        figures=(
            accuracy(
                "accuracy",
                [outcome.chosen == outcome.label for outcome in scored],
                Reference("CBT-CN", paper.CBT_COMMON_NOUNS),
                Reference("CBT-NE", paper.CBT_NAMED_ENTITIES),
            ),
        ),
    )
