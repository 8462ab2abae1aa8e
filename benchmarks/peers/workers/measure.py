"""What every worker measures: one engine, one model, one process.

A worker reads one line of JSON, the work, and prints one line of JSON, the figures. It runs in the
engine's own environment, so this file imports nothing but Python.

work: model (path), threads, vocab (ids are drawn below it), and lengths in tokens: first_prompt,
steady (decoded before memory is read), prefill [...], contexts [...], decoded, rows, row_prompt,
row_new; repeats (of a prompt's time, of which the median counts). What else is in it is the
worker's own business.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Greedy ids behind prompts: (prompts, new) -> for each prompt the times of its `new` tokens, by
# time.perf_counter. An engine that tells no times between gives the first and the last.
Times = list[list[float]]
Generate = Callable[[list[list[int]], int], Times]


def serve(load: Callable[[dict[str, Any]], Generate]) -> None:
    """Measure what `load` loads, as the line on standard input says; print the figures.

    An engine that fails prints {"error": its first line} and ends with status 1.
    """
    work = json.loads(sys.stdin.readline())
    try:
        figures = measure(load, work)
    except Exception as error:  # whatever an engine raises is its row
        lines = str(error).strip().splitlines() or [""]
        print(json.dumps({"error": f"{type(error).__name__}: {lines[0]}"[:200]}), flush=True)
        sys.exit(1)
    print(json.dumps(figures), flush=True)


def measure(load: Callable[[dict[str, Any]], Generate], work: dict[str, Any]) -> dict[str, Any]:
    """Seconds, tokens per second, and MB (10^6 bytes), by the names that speed.py prints."""
    prompts = Prompts(work["vocab"])
    started = time.perf_counter()
    generate = load(work)
    figures: dict[str, Any] = {"load": time.perf_counter() - started}

    started = time.perf_counter()
    times = generate([prompts.next(work["first_prompt"])], work["steady"])
    figures["first"] = times[0][0] - started
    figures["resident"], figures["anonymous"] = memory()

    for length in work["prefill"]:
        figures[f"prefill {length}"] = length / statistics.median(
            seconds_to_first(generate, prompts.next(length)) for _ in range(work["repeats"])
        )
    for length in work["contexts"]:
        times = generate([prompts.next(length)], work["decoded"] + 1)
        figures[f"decode {length}"] = rate(times, work["decoded"] + 1)
    rows = [prompts.next(work["row_prompt"]) for _ in range(work["rows"])]
    figures["batch"] = rate(generate(rows, work["row_new"]), work["row_new"])
    figures["peak"] = peak_memory()
    return figures


class Prompts:
    """Random ids, never the same twice: no engine finds one in a cache of its own."""

    def __init__(self, vocab: int) -> None:
        self._random, self._vocab = random.Random(0), vocab

    def next(self, length: int) -> list[int]:
        """`length` ids; the last id of the vocabulary, which ends texts, is not among them."""
        return [self._random.randrange(self._vocab - 1) for _ in range(length)]


def seconds_to_first(generate: Generate, prompt: list[int]) -> float:
    """From the prompt to its first token."""
    started = time.perf_counter()
    return generate([prompt], 1)[0][0] - started


def rate(times: Times, new: int) -> float:
    """Tokens a second over all rows from when each row has its first token.

    times: of `new` tokens a row, or of the first and the last of them.
    """
    begun = max(row[0] for row in times)
    ended = max(row[-1] for row in times)
    if all(len(row) == new for row in times):
        tokens = sum(moment > begun for row in times for moment in row)
    else:
        tokens = len(times) * (new - 1)
    return tokens / (ended - begun)


def memory() -> tuple[float, float]:
    """Resident and anonymous MB of this process: Rss and Anonymous of /proc/self/smaps_rollup."""
    kilobytes = fields("/proc/self/smaps_rollup")
    return kilobytes["Rss"] * 1024 / 1e6, kilobytes["Anonymous"] * 1024 / 1e6


def peak_memory() -> float:
    """Largest resident MB of this process so far: VmHWM."""
    return fields("/proc/self/status")["VmHWM"] * 1024 / 1e6


def fields(path: str) -> dict[str, int]:
    """Lines as `Name:  12 kB` of a file in /proc."""
    found = {}
    for line in Path(path).read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            found[name] = int(value.split()[0])
    return found
