"""Perplexity of a raw text, such as WikiText-2's test set (GPT-2 paper, section 3.1)."""

from __future__ import annotations

import math
from pathlib import Path

from gpt2_edge.errors import EvaluationError
from gpt2_edge.generate import Generator
from gpt2_edge.measure.evaluate import paper
from gpt2_edge.measure.evaluate.data import read_text
from gpt2_edge.measure.evaluate.record import Evaluation, Figure, Reference, Show
from gpt2_edge.measure.evaluate.scoring import require_tokenizer
from gpt2_edge.measure.score import perplexity
from gpt2_edge.measure.scores import exponential


def read(path: Path, limit: int | None = None) -> str:
    """The text of the file, its first `limit` lines only; EvaluationError."""
    text = read_text(path)
    lines = text.split("\n")  # not splitlines: only a line feed ends a line
    if limit is not None and limit < len(lines):
        text = "\n".join(lines[:limit]) + "\n"
        if not text.strip():
            raise EvaluationError(f"the first {limit} lines of {path} are empty")
    return text


def evaluate(
    text: str,
    generator: Generator,
    show: Show,
    window: int | None = None,
    stride: int | None = None,
) -> Evaluation:
    """Perplexity of `text` per token, per word, and per word or line end.

    All three are exp(L / n) with the same negative log-likelihood L, that of the whole text but for
    its first token, which nothing precedes (where stride is window, each window's first). n is the
    number of tokens predicted; of words, the pieces between white space; of words and line feeds,
    as WikiText-2's own count has it. window and stride are those of `gpt2_edge.perplexity`.

    Standard errors by the delta method: L's is sqrt(tokens) times the standard deviation of the
    tokens' losses, taken as independent.
    """
    ids = require_tokenizer(generator).encode(text, add_special_tokens=False)
    result = perplexity(generator, ids, window, stride, show=lambda t: show(f"wikitext2: {t}"))
    words, line_ends = len(text.split()), text.count("\n")
    loss = result.negative_log_likelihood
    # Of the mean loss of a token; relative to the perplexity, which the delta method multiplies.
    relative_error = result.standard_error / result.perplexity

    def per(name: str, units: int, *published: Reference) -> Figure:
        value = exponential(loss / units)
        error = value * relative_error * result.tokens / units
        return Figure(name, value, None if math.isnan(error) else error, "", published)

    return Evaluation(
        task="wikitext2",
        item="lines",
        items=line_ends + (not text.endswith("\n")),
        truncated=0,
        skipped=0,
        figures=(
            per("perplexity per token", result.tokens),
            per("perplexity per word", words, Reference("WikiText-2", paper.WIKITEXT2_PERPLEXITY)),
            per("perplexity per word or line end", words + line_ends),
        ),
        counts={
            "tokens": result.tokens,
            "words": words,
            "window": result.window,
            "stride": result.stride,
        },
    )
