"""The result of an evaluation: figures, each with its standard error and what was published."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gpt2_edge.measure.evaluate.paper import Published
from gpt2_edge.measure.scores import exponential

Show = Callable[[str], None]  # where people see how far an evaluation is


@dataclass(frozen=True)
class Reference:
    """A row of published figures, by model."""

    name: str
    figures: Published


@dataclass(frozen=True)
class Figure:
    """One measured figure, and the published ones to put beside it.

    unit: "%" for accuracies, "" for perplexities. standard_error: in the same unit; None where a
    single item leaves it unknown.
    """

    name: str
    value: float
    standard_error: float | None
    unit: str = ""
    published: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation came to.

    items: how many were scored, of the kind that `item` names. truncated: how many of them lost
    the beginning of their context, which did not fit the model's. skipped: how many more could
    not be scored at all, the answer alone being longer than the model's context; no figure
    counts them. counts: what else the task counted, such as tokens and words.
    """

    task: str
    item: str
    items: int
    truncated: int
    skipped: int
    figures: tuple[Figure, ...]
    counts: dict[str, int] = field(default_factory=dict)

    def figure(self, name: str) -> Figure:
        """The figure called `name`."""
        return next(figure for figure in self.figures if figure.name == name)


def accuracy(name: str, hits: Sequence[bool], *published: Reference) -> Figure:
    """The share of `hits` in percent; standard error of a binomial, sqrt(p (1 - p) / n)."""
    share = sum(hits) / len(hits)
    error = math.sqrt(share * (1 - share) / len(hits))
    return Figure(name, 100 * share, 100 * error, "%", published)


def perplexity(name: str, log_probabilities: Sequence[float], *published: Reference) -> Figure:
    """The exponential of the mean negative log-probability of an item (natural logarithms).

    Standard error by the delta method: the perplexity times the standard error of that mean, from
    the spread of the items (n - 1 in the denominator).
    """
    losses = -np.asarray(log_probabilities, np.float64)
    value = exponential(float(np.mean(losses)))
    error = None
    if len(losses) > 1:
        error = value * float(np.std(losses, ddof=1)) / math.sqrt(len(losses))
    return Figure(name, value, error, "", published)
