"""LAMBADA: the last word of a passage (Paperno et al. 2016; GPT-2 paper, section 3.3).

Data: OpenAI's version of the test set, JSONL of {"text": ...}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt2_edge.generate import Generator
from gpt2_edge.measure.evaluate import paper
from gpt2_edge.measure.evaluate.data import read_jsonl
from gpt2_edge.measure.evaluate.record import Evaluation, Reference, Show, accuracy, perplexity
from gpt2_edge.measure.evaluate.scoring import Scored, TextScorer, score_all


@dataclass(frozen=True)
class Passage:
    """A passage without its last word, and that word with the space before it."""

    context: str
    target: str


def read(path: Path, limit: int | None = None) -> list[Passage]:
    """The passages of a JSONL file, the first `limit` only; EvaluationError."""
    passages = []
    for record in read_jsonl(path, limit):
        text = record.text("text").strip()
        context, space, word = text.rpartition(" ")
        if not context:
            raise record.error('"text" must have two words or more')
        passages.append(Passage(context, space + word))
    return passages


def score(scorer: TextScorer, passage: Passage) -> Scored:
    """The target after its context; `greedy` is what counts as a hit."""
    return scorer.score(passage.context, passage.target)


def evaluate(passages: Sequence[Passage], generator: Generator, show: Show) -> Evaluation:
    """Perplexity of the last word, and its accuracy.

    Perplexity: exp of the mean over passages of -log p(last word), all its tokens together.
    Accuracy: the share of passages in which every token of the word is the most likely one. The
    paper's accuracies were reached with a filter of stop words, which is not applied here.
    """
    scorer = TextScorer(generator)
    outcomes = score_all(passages, lambda passage: score(scorer, passage), show, "lambada")
    return Evaluation(
        task="lambada",
        item="passages",
        items=len(outcomes.scored),
        truncated=sum(outcome.truncated for outcome in outcomes.scored),
        skipped=outcomes.skipped,
        figures=(
            perplexity(
                "perplexity",
                [outcome.logprob for outcome in outcomes.scored],
                Reference("LAMBADA", paper.LAMBADA_PERPLEXITY),
            ),
            accuracy(
                "accuracy",
                [outcome.greedy for outcome in outcomes.scored],
                Reference("LAMBADA", paper.LAMBADA_ACCURACY),
            ),
        ),
    )
