"""How likely a text is to a model: log-probabilities of its tokens, continuations, perplexity.

All log-probabilities are natural logarithms of the softmax over the whole vocabulary. How much of
a sequence is asked for, or was still in the cache, changes no figure (see `predictions`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ContextOverflowError, GenerationError
from gpt2_edge.generate import Generator
from gpt2_edge.graph.session import FedSequence
from gpt2_edge.measure.predictions import predictions
from gpt2_edge.measure.scores import Continuation, Perplexity, ScoredToken, exponential
from gpt2_edge.prompts import check_vocabulary, require_text, token_ids
from gpt2_edge.sampling import greedy, log_probability
from gpt2_edge.untrusted import shown
from gpt2_edge.values import switch, whole_number

Show = Callable[[str], None]

_REPLACEMENT = "\ufffd"  # what a part of a character is decoded to


def token_logprobs(
    generator: Generator, ids: Sequence[int], start: int = 1
) -> npt.NDArray[np.float64]:
    """Log-probabilities [len(ids) - start] of `ids[start:]`, each given everything before it.

    Args:
        generator: the loaded package.
        ids: two or more. The last is only predicted, never fed: there may be one more than the
            context holds.
        start: the first that is predicted, 1 to len(ids) - 1.

    Raises:
        GenerationError: too few ids, one outside the vocabulary, or a start out of range.
        ContextOverflowError: too many ids.
    """
    checked = _fitting(generator, _checked(generator, ids))
    first = whole_number(start)
    if first is None or not 1 <= first < len(checked):
        raise GenerationError(f"start is {shown(start)}; it must be from 1 to {len(checked) - 1}")
    return _logprobs(generator.session.start(len(checked) - 1), checked, first)


def score_tokens(generator: Generator, ids: Sequence[int], bos: bool = False) -> list[ScoredToken]:
    """Each of `ids` with its log-probability and rank; errors as of `token_logprobs`.

    Args:
        generator: the loaded package.
        ids: two or more, with bos one or more.
        bos: the first is predicted too, from `bos_token`, unless the ids begin with that.
    """
    begins = switch(bos, "bos")
    given = _checked(generator, ids)
    checked = _fitting(generator, _begun(generator, given) if begins else given)
    scored = []
    if len(checked) == len(given):
        scored.append(ScoredToken(checked[0], generator.token_label(checked[0]), None, None))
    sequence = generator.session.start(len(checked) - 1)
    for token_id, logits in predictions(sequence, checked, 1):
        above = np.count_nonzero(logits > logits[token_id])
        before = np.count_nonzero(logits[:token_id] == logits[token_id])
        label = generator.token_label(token_id)
        logprob = log_probability(logits, token_id)
        scored.append(ScoredToken(token_id, label, logprob, int(above + before) + 1))
    return scored


def continuation(
    generator: Generator, context_ids: Sequence[int], continuation_ids: Sequence[int]
) -> Continuation:
    """How likely a continuation is after a context, as lm-evaluation-harness has it.

    Args:
        generator: the loaded package.
        context_ids: if they do not fit, their beginning is dropped; none become `bos_token`.
        continuation_ids: one or more.

    Raises:
        GenerationError: an empty continuation, or an id outside the vocabulary.
        ContextOverflowError: a continuation longer than the context length.
    """
    return ContinuationScorer(generator).score(context_ids, continuation_ids)


class ContinuationScorer:
    """Scores continuations one after another; a beginning that two share is fed only once.

    The figures are those of `continuation`. Not to be shared by threads.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._sequence = generator.session.start(generator.context_length)

    def score(self, context_ids: Sequence[int], continuation_ids: Sequence[int]) -> Continuation:
        """See `continuation`."""
        context_length = self._sequence.capacity
        wanted = _checked(self._generator, continuation_ids)
        if not wanted:
            raise GenerationError("the continuation is empty; give at least one token to score")
        if len(wanted) > context_length:
            raise ContextOverflowError(
                f"the continuation has {len(wanted)} tokens; the model's context holds "
                f"{context_length}: shorten it"
            )
        context = _checked(self._generator, context_ids) or [bos_token(self._generator)]
        context = context[-(context_length + 1 - len(wanted)) :]
        logprobs, is_greedy = [], True
        for token_id, logits in predictions(self._sequence, context + wanted, len(context)):
            logprobs.append(log_probability(logits, token_id))
            is_greedy = is_greedy and greedy(logits) == token_id
        return Continuation(math.fsum(logprobs), len(wanted), is_greedy, tuple(logprobs))


def perplexity(
    generator: Generator,
    ids: Sequence[int],
    window: int | None = None,
    stride: int | None = None,
    *,
    bos: bool = False,
    text_bytes: int | None = None,
    show: Show | None = None,
) -> Perplexity:
    """Perplexity of `ids`, however many, in overlapping windows.

    As in transformers' documentation ("Perplexity of fixed-length models"): a window of `window`
    tokens (default: the context length) moves on by `stride` (default: half the window), and the
    tokens that were in no window before are predicted. So each but the first is predicted once,
    after the first window with at least window - stride tokens before it. With stride = window
    nothing overlaps, and the first token of every window is not predicted.

    Args:
        generator: the loaded package.
        ids: two or more, with bos one or more.
        window: how many tokens are looked at together, 2 to the context length.
        stride: by how many the window moves on, 1 to the window.
        bos: `bos_token` comes first, so that the first token is predicted too; it is not doubled.
        text_bytes: of what is predicted, for the result.
        show: is told how far it is.

    Raises:
        GenerationError: too few ids, one outside the vocabulary, a window or stride out of range.
    """
    context_length = generator.context_length
    width = whole_number(context_length if window is None else window)
    if width is None or not 2 <= width <= context_length:
        raise GenerationError(
            f"window is {shown(window)}; it must be from 2 to the model's context of "
            f"{context_length}"
        )
    step = whole_number(width // 2 if stride is None else stride)
    if step is None or not 1 <= step <= width:
        raise GenerationError(
            f"stride is {shown(stride)}; it must be from 1 to the window of {width}"
        )
    if text_bytes is not None and whole_number(text_bytes) is None:
        raise GenerationError(f"text_bytes is {shown(text_bytes)}; it must be a whole number")
    begins = switch(bos, "bos")
    text = _checked(generator, ids)
    text = _begun(generator, text) if begins else text
    if len(text) < 2:
        raise GenerationError(
            f"perplexity needs two tokens or more, the text has {len(text)}: give a longer one"
        )
    sequence = generator.session.start(width - 1)
    parts, loss, predicted = [], 0.0, 0
    for begin, end, first in _windows(len(text), width, step):
        parts.append(_logprobs(sequence, text[begin:end], first - begin))
        loss -= float(parts[-1].sum())
        predicted += len(parts[-1])
        if show is not None:
            so_far = exponential(loss / predicted)
            show(f"{end:,} of {len(text):,} tokens, perplexity {so_far:.2f}")
    spread = float(np.std(np.concatenate(parts), ddof=1)) if predicted > 1 else math.nan
    return Perplexity(
        tokens=predicted,
        negative_log_likelihood=loss,
        standard_error=exponential(loss / predicted) * spread / math.sqrt(predicted),
        window=width,
        stride=step,
        text_bytes=text_bytes if predicted == len(text) - 1 else None,
    )


def text_perplexity(
    generator: Generator,
    text: str,
    window: int | None = None,
    stride: int | None = None,
    *,
    bos: bool = False,
    show: Show | None = None,
) -> Perplexity:
    """`perplexity` of a text, with its bits per byte.

    Args:
        generator: the loaded package, with a tokenizer.
        text: of any length.
        window: as in `perplexity`.
        stride: as in `perplexity`.
        bos: as in `perplexity`.
        show: is told how far it is.
    """
    if generator.tokenizer is None:
        raise GenerationError(f"{generator.package.folder} has no tokenizer; give the text as ids")
    ids = generator.tokenizer.encode(require_text(text), add_special_tokens=False)
    text_bytes = len(text.encode("utf-8", "replace"))
    bos = switch(bos, "bos")
    if ids and not (bos and len(_begun(generator, ids)) > len(ids)):
        # What is not predicted does not count, unless it is part of a character: then all does.
        label = generator.tokenizer.label(ids[0])
        whole = text.startswith(label) and _REPLACEMENT not in label
        text_bytes -= len(label.encode()) if whole else 0
    return perplexity(generator, ids, window, stride, bos=bos, text_bytes=text_bytes, show=show)


def bos_token(generator: Generator) -> int:
    """What comes before a text: the package's bos token, else its first eos token.

    Args:
        generator: the loaded package.

    Raises:
        GenerationError: it has neither.
    """
    manifest = generator.manifest
    if manifest.bos_token_id is not None:
        return manifest.bos_token_id
    if manifest.eos_token_ids:
        return manifest.eos_token_ids[0]
    raise GenerationError(
        f"{generator.package.folder} has no bos or eos token to begin with; give a context"
    )


def _windows(length: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Begin, end and first predicted token of each window over a text of `length` tokens."""
    seen = 0
    for begin in range(0, length, stride):
        end = min(begin + window, length)
        first = max(seen, begin + 1)
        if first < end:
            yield begin, end, first
        if end == length:
            return
        seen = end


def _logprobs(sequence: FedSequence, ids: list[int], start: int) -> npt.NDArray[np.float64]:
    return np.array([log_probability(row, i) for i, row in predictions(sequence, ids, start)])


def _begun(generator: Generator, ids: list[int]) -> list[int]:
    """`ids` behind the bos token, which is not doubled."""
    bos = bos_token(generator)
    return ids if ids[:1] == [bos] else [bos, *ids]


def _fitting(generator: Generator, checked: list[int]) -> list[int]:
    """`checked`, if there are two or more, and one more than the context at most."""
    if len(checked) < 2:
        raise GenerationError(
            f"scoring needs two tokens or more, there are {len(checked)}: the first is only "
            "predicted behind a bos token"
        )
    context_length = generator.context_length
    if len(checked) > context_length + 1:
        raise ContextOverflowError(
            f"the text has {len(checked)} tokens; a context of {context_length} scores "
            f"{context_length + 1} at once: shorten it, or take its perplexity in windows"
        )
    return checked


def _checked(generator: Generator, ids: Sequence[int]) -> list[int]:
    """`ids`, checked to be whole numbers in the vocabulary."""
    return check_vocabulary(token_ids(ids, "ids", takes=""), generator.vocab_size)
