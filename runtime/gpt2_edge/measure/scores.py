"""What scoring a text comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Continuation:
    """How likely a continuation is after its context.

    Attributes:
        logprob: of all of it, the sum of `logprobs`.
        tokens: how many it has.
        greedy: whether each token is the most likely one after those before it.
        logprobs: one for each token.
    """

    logprob: float
    tokens: int
    greedy: bool
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class ScoredToken:
    """One token of a text, given all before it.

    logprob and rank are None for a first token that nothing precedes: it is not predicted.

    Attributes:
        id: its number in the vocabulary.
        text: as `Generator.token_label` has it.
        logprob: the natural logarithm of its probability.
        rank: 1 for the most likely token of the vocabulary.
    """

    id: int
    text: str
    logprob: float | None
    rank: int | None


@dataclass(frozen=True)
class Perplexity:
    """How well a model predicts a text.

    Attributes:
        tokens: how many were predicted.
        negative_log_likelihood: of all of them, in nats.
        standard_error: of `perplexity`, if the tokens' log-probabilities were independent; nan for
            a single token.
        window: how many tokens were looked at together.
        stride: by how many tokens the window moved on.
        text_bytes: what the predicted tokens stand for in UTF-8; None where only ids are known, or
            where windows left tokens out.
    """

    tokens: int
    negative_log_likelihood: float
    standard_error: float
    window: int
    stride: int
    text_bytes: int | None = None

    @property
    def perplexity(self) -> float:
        """The exponential of the mean negative log-likelihood of a token."""
        return exponential(self.negative_log_likelihood / self.tokens)

    @property
    def bits_per_byte(self) -> float | None:
        """Comparable between vocabularies, as perplexity is not; None without text_bytes."""
        if not self.text_bytes:
            return None
        return self.negative_log_likelihood / math.log(2) / self.text_bytes


def exponential(loss: float) -> float:
    """`math.exp`, infinite where that overflows: of a long text without a single word, say."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
