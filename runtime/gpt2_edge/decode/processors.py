"""Processors: what changes the logits of the next token, given the tokens so far.

A processor is a pure function of ids and logits, so it works alike in single texts, batches, beams
and drafts, and nothing has to be rolled back. Names and meanings are transformers' (its
generation/logits_process.py, 4.57), in its order; presence_penalty and frequency_penalty are
OpenAI's. spec/processors.json has examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import shown

Logits = npt.NDArray[np.float32]
# (tokens of prompt and text so far, logits [vocab] that it may change in place) -> logits [vocab]
Processor = Callable[[Sequence[int], Logits], Logits]

_NEVER = np.float32(-np.inf)


def checked(process: Processor) -> Processor:
    """A caller's processor that raises GenerationError where it returns no logits."""

    def run(ids: Sequence[int], logits: Logits) -> Logits:
        shape = logits.shape
        found = process(list(ids), logits)
        kind = getattr(getattr(found, "dtype", None), "kind", None)
        if not (isinstance(found, np.ndarray) and found.shape == shape and kind == "f"):
            raise GenerationError(
                f"a logits_processor returned {shown(found)}; it must return logits of shape "
                f"{list(shape)}, floats"
            )
        return found

    return run


def sequence_bias(biases: Mapping[tuple[int, ...], float]) -> Processor:
    """Add a bias to the last token of each sequence where the text ends in those before it.

    A sequence of one token always gets its bias: that is OpenAI's logit_bias.
    """
    single = {tokens[0]: bias for tokens, bias in biases.items() if len(tokens) == 1}
    ids = np.array(list(single), np.intp)
    with np.errstate(over="ignore"):  # one beyond float32 is told where it is added
        values = np.array(list(single.values()), np.float32)
    longer = {tokens: bias for tokens, bias in biases.items() if len(tokens) > 1}

    def process(text: Sequence[int], logits: Logits) -> Logits:
        logits[ids] += values
        for tokens, bias in longer.items():
            if len(tokens) <= len(text) and tuple(text[1 - len(tokens) :]) == tokens[:-1]:
                logits[tokens[-1]] += np.float32(bias)
        return logits

    return process


def bad_words(words: Collection[tuple[int, ...]]) -> Processor:
    """Never complete one of these sequences of tokens."""
    return sequence_bias(dict.fromkeys(words, -np.inf))


def repetition_penalty(penalty: float) -> Processor:
    """Divide logits of tokens that are in the text or prompt; multiply where they are negative.

    Keskar et al. 2019 (CTRL), section 4.1.
    """

    def process(text: Sequence[int], logits: Logits) -> Logits:
        seen = np.unique(np.array(text, np.intp))
        chosen = logits[seen]
        logits[seen] = np.where(chosen < 0, chosen * np.float32(penalty), chosen / penalty)
        return logits

    return process


def presence_frequency_penalty(presence: float, frequency: float, prompt: int) -> Processor:
    """Take `presence` off each token of the new text, and `frequency` for every time it is there.

    OpenAI's definition: logit - count * frequency - (count > 0) * presence. prompt: how many
    tokens of the ids are not new.
    """

    def process(text: Sequence[int], logits: Logits) -> Logits:
        counts = Counter(text[prompt:])
        if counts:
            ids = np.array(list(counts), np.intp)
            times = np.array(list(counts.values()), np.float32)
            logits[ids] -= np.float32(presence) + np.float32(frequency) * times
        return logits

    return process


def no_repeat_ngram(size: int) -> Processor:
    """Never write a sequence of `size` tokens that is in the text or prompt already."""

    def process(text: Sequence[int], logits: Logits) -> Logits:
        if len(text) + 1 < size:
            return logits
        ids = np.array(text, np.intp)
        matches = np.ones(len(ids) - size + 1, bool)
        for offset in range(size - 1):  # windows whose beginning is the text's end
            matches &= ids[offset : offset + len(matches)] == ids[len(ids) - size + 1 + offset]
        logits[ids[size - 1 :][matches]] = _NEVER
        return logits

    return process


def min_new_tokens(least: int, eos_ids: Collection[int], prompt: int) -> Processor:
    """No end-of-text token before `least` new tokens are written."""
    eos = np.array(list(eos_ids), np.intp)

    def process(text: Sequence[int], logits: Logits) -> Logits:
        if len(text) - prompt < least:
            logits[eos] = _NEVER
        return logits

    return process


def suppress_tokens(tokens: Collection[int]) -> Processor:
    """Never write these tokens."""
    ids = np.array(list(tokens), np.intp)

    def process(text: Sequence[int], logits: Logits) -> Logits:
        logits[ids] = _NEVER
        return logits

    return process


def begin_suppress_tokens(tokens: Collection[int], prompt: int) -> Processor:
    """Do not begin the new text with these tokens."""
    ids = np.array(list(tokens), np.intp)

    def process(text: Sequence[int], logits: Logits) -> Logits:
        if len(text) == prompt:
            logits[ids] = _NEVER
        return logits

    return process
