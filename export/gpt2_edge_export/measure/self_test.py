"""Choosing a self-test that passes on every device that computes correctly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gpt2_edge.errors import ExportError
from gpt2_edge.files.manifest import SelfTest
from gpt2_edge.generate import Generator
from gpt2_edge.sampling import largest

_PROMPTS = (
    "The animal didn't cross the street because it was too",
    "It was the best of times, it was the",
    "What do you",
    "Once upon a time there was a",
    "One, two, three, four,",
    "He shook his head and",
    "The man in the boat said that he",
)
_PROMPT_TOKENS = 12
_MAX_EXPECTED = 16
_COMPARED_LOGITS = 8
# Relative to the standard deviation of the logits after the prompt. Devices differ in float32 by
# some 1e-5 of it. Where activations are rounded to int8, a last bit becomes a rounding step: on
# models/sample two kernels of one machine differ by up to 0.13 of it (benchmarks/decisions.py).
_MARGIN = {True: 0.2, False: 2e-3}
_TOLERANCE = {True: 0.25, False: 1e-3}


def make_self_test(generator: Generator) -> SelfTest:
    """The prompt, of several, whose greedy continuation stays clear of ties longest.

    Raises ExportError where the model computes NaN or infinity.
    """
    manifest = generator.manifest
    floats = manifest.recipe["name"].startswith("fp") and manifest.graph.cache_dtype == "float32"
    quantized = not floats
    best: SelfTest | None = None
    for prompt in _prompts(generator):
        logits = generator.logits(prompt)[-1]
        if not np.isfinite(logits).all():
            raise ExportError(
                f"{generator.manifest.name}: the logits are not finite; the weights are too large "
                "for float32, or damaged"
            )
        spread = float(logits.std()) or 1.0
        test = SelfTest(
            prompt_ids=tuple(prompt),
            expected_ids=tuple(_clear_tokens(generator, prompt, _MARGIN[quantized] * spread)),
            logits={str(i): round(float(logits[i]), 5) for i in largest(logits, _COMPARED_LOGITS)},
            tolerance=float(f"{_TOLERANCE[quantized] * spread:.2g}"),
        )
        if best is None or len(test.expected_ids) > len(best.expected_ids):
            best = test
    assert best is not None
    return best


def _prompts(generator: Generator) -> Iterator[list[int]]:
    architecture = generator.manifest.architecture
    length = max(1, min(_PROMPT_TOKENS, architecture.context_length // 2))
    if generator.tokenizer is not None:
        for text in _PROMPTS:
            ids = generator.tokenizer.encode(text, add_special_tokens=False)
            ids = [i for i in ids if i < architecture.vocab_size]
            if ids:
                yield ids[:length]
    random = np.random.default_rng(0)
    for _ in range(len(_PROMPTS)):
        yield random.integers(0, architecture.vocab_size, length).tolist()


def _clear_tokens(generator: Generator, prompt: Sequence[int], margin: float) -> list[int]:
    """Greedy tokens after `prompt`, up to the first whose lead over the next is below `margin`."""
    context = generator.manifest.architecture.context_length
    count = min(_MAX_EXPECTED, context - len(prompt) + 1)
    sequence = generator.session.start(len(prompt) + count)
    logits = sequence.prefill(prompt)
    tokens: list[int] = []
    while logits is not None:
        first, second = largest(logits, 2)
        if logits[first] - logits[second] < margin:
            break
        tokens.append(int(first))
        if len(tokens) == count:
            break
        logits = sequence.feed([int(first)])[-1]
    return tokens
