"""Measuring one package in this process: speed, latency, memory, size."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt2_edge.generate import Generator
from gpt2_edge.graph.providers import AUTO
from gpt2_edge.sampling import greedy

_PROMPTS = (128, 512)
_CONTEXTS = (128, 900)
_FIRST_TOKEN_PROMPT = 16
_REPEATS = 5
_DECODED = 64


@dataclass(frozen=True)
class Figures:
    """Seconds, tokens per second (by prompt length or context, where they fit), and bytes."""

    package: str
    load_seconds: float
    first_token_seconds: float
    prefill: dict[int, float]
    decode: dict[int, float]
    peak_memory_bytes: int | None
    package_bytes: int

    def rows(self) -> Iterator[tuple[str, str]]:
        """Label and value, for printing."""
        yield "load", f"{self.load_seconds:.2f} s"
        yield (
            f"first token, prompt {_FIRST_TOKEN_PROMPT}",
            f"{1e3 * self.first_token_seconds:.0f} ms",
        )
        for length, rate in self.prefill.items():
            yield f"prefill, {length} tokens", f"{rate:.0f} tok/s"
        for length, rate in self.decode.items():
            yield f"decode, context {length}", f"{rate:.1f} tok/s"
        if self.peak_memory_bytes is not None:
            yield "peak memory", f"{self.peak_memory_bytes / 1e6:.0f} MB"
        yield "package size", f"{self.package_bytes / 1e6:.1f} MB"


def measure(
    path: str | Path,
    threads: int | None = None,
    show: Callable[[str], None] | None = None,
    provider: str = AUTO,
    provider_options: Mapping[str, str] | None = None,
) -> Figures:
    """Load the package `path` and measure it; rates are medians of several runs.

    threads, provider, provider_options: as in Generator.load. `show` is told what is being
    measured.
    """
    show = show or (lambda text: None)
    show("loading")
    started = time.perf_counter()
    generator = Generator.load(
        path, provider=provider, provider_options=provider_options, threads=threads
    )
    load_seconds = time.perf_counter() - started
    context = generator.manifest.architecture.context_length
    ids = np.random.default_rng(0).integers(0, generator.manifest.architecture.vocab_size, context)
    prompt = ids.tolist()
    first_token_seconds = _prefill_seconds(generator, prompt[:_FIRST_TOKEN_PROMPT])
    prefill, decode = {}, {}
    for length in _PROMPTS:
        if length <= context:
            show(f"prefill of {length} tokens")
            prefill[length] = _prefill_rate(generator, prompt[:length])
    for length in _CONTEXTS:
        if length + _DECODED <= context:
            show(f"decoding behind {length} tokens")
            decode[length] = _decode_rate(generator, prompt[:length])
    return Figures(
        package=str(path),
        load_seconds=load_seconds,
        first_token_seconds=first_token_seconds,
        prefill=prefill,
        decode=decode,
        peak_memory_bytes=_peak_memory(),
        package_bytes=generator.package.total_bytes,
    )


def _prefill_seconds(generator: Generator, prompt: list[int]) -> float:
    """From prompt to the first token, cache included."""
    started = time.perf_counter()
    logits = generator.session.start(len(prompt) + 1).prefill(prompt)
    assert logits is not None
    greedy(logits)
    return time.perf_counter() - started


def _prefill_rate(generator: Generator, prompt: list[int]) -> float:
    times = [_prefill_seconds(generator, prompt) for _ in range(_REPEATS)]
    return len(prompt) / statistics.median(times)


def _decode_rate(generator: Generator, prompt: list[int]) -> float:
    """Greedy tokens per second behind `prompt`."""
    sequence = generator.session.start(len(prompt) + _DECODED)
    logits = sequence.prefill(prompt)
    assert logits is not None
    times = []
    for _ in range(_DECODED):
        started = time.perf_counter()
        logits = sequence.feed([greedy(logits)])[-1]
        times.append(time.perf_counter() - started)
    return 1 / statistics.median(times)


def _peak_memory() -> int | None:
    """Largest resident size of this process in bytes; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
