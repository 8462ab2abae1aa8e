"""Scoring one text after another: what every task but wikitext2 is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gpt2_edge.errors import ContextOverflowError, EvaluationError
from gpt2_edge.generate import Generator
from gpt2_edge.measure.evaluate.record import Show
from gpt2_edge.measure.score import ContinuationScorer
from gpt2_edge.text.tokenizer import Tokenizer

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Scored:
    """How likely a text is after its context.

    logprob: natural logarithm of the probability of all its tokens. greedy: whether each of them
    was the most likely one. truncated: whether the context lost its beginning.
    """

    logprob: float
    greedy: bool
    truncated: bool


class TextScorer:
    """The likelihood of texts after texts. Not to be shared by threads."""

    def __init__(self, generator: Generator) -> None:
        self._tokenizer = require_tokenizer(generator)
        self._context_length = generator.manifest.architecture.context_length
        self._scorer = ContinuationScorer(generator)

    def score(self, context: str, text: str) -> Scored:
        """How likely `text` is after `context`.

        The beginning of a context that does not fit is dropped; an empty one becomes the token
        that stands before a text. Raises ContextOverflowError for a text that does not fit alone.
        """
        context_ids, ids = split_ids(self._tokenizer, context, text)
        result = self._scorer.score(context_ids, ids)
        # The last token is predicted, not fed.
        truncated = len(context_ids) + len(ids) - 1 > self._context_length
        return Scored(result.logprob, result.greedy, truncated)


def split_ids(tokenizer: Tokenizer, context: str, text: str) -> tuple[list[int], list[int]]:
    """The ids of `context` and those of `text`, which together say `context + text`.

    Both are tokenized as one text, as lm-evaluation-harness does, and white space at the end of
    the context counts as the beginning of the text: GPT-2's tokens take a space with the word
    behind it. Where the border would be within a token, the two are tokenized apart, so that the
    context is the same whatever follows.
    """
    stripped = context.rstrip()
    text = context[len(stripped) :] + text
    context_ids = _ids(tokenizer, stripped)
    ids = _ids(tokenizer, stripped + text)
    if ids[: len(context_ids)] == context_ids and len(ids) > len(context_ids):
        return context_ids, ids[len(context_ids) :]
    return context_ids, _ids(tokenizer, text)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    # What stands before a text is decided by who scores it, not by the tokenizer's template.
    return tokenizer.encode(text, add_special_tokens=False) if text else []


@dataclass(frozen=True)
class Outcomes(Generic[Outcome]):
    """The outcomes of the items that could be scored, and how many could not."""

    scored: list[Outcome]
    skipped: int


def score_all(
    items: Sequence[Item], score: Callable[[Item], Outcome], show: Show, task: str
) -> Outcomes[Outcome]:
    """`score` of every item; those whose answer alone exceeds the context are skipped.

    Raises EvaluationError where that leaves nothing.
    """
    scored: list[Outcome] = []
    for done, item in enumerate(items):
        show(f"{task}: {done:,} of {len(items):,}")
        try:
            scored.append(score(item))
        except ContextOverflowError:
            continue
    if not scored:
        raise EvaluationError(f"no item of {task} fits the model's context")
    return Outcomes(scored, len(items) - len(scored))


def likeliest(values: Sequence[float]) -> int:
    """The number of the largest of `values`; the first among equals."""
    return max(range(len(values)), key=values.__getitem__)


def require_tokenizer(generator: Generator) -> Tokenizer:
    """The tokenizer of the package; EvaluationError where it has none."""
    if generator.tokenizer is None:
        raise EvaluationError(
            f"{generator.package.folder} has no tokenizer, and the data of evaluations is text; "
            f"export the model with --tokenizer"
        )
    return generator.tokenizer
