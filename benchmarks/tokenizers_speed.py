"""Ids per second of the tokenizers library and of ours in Python alone, on one thread.

    python benchmarks/tokenizers_speed.py TOKENIZER.json TEXT [--rounds 5]

Prints, of both: reading the file, the first encoding of the text (every word is new), the median of
later ones, and what the tokenizer added to the process's memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def resident() -> float:
    """MB of this process's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(kind: str, content: bytes, text: str, rounds: int) -> None:
    if kind == "library":
        from gpt2_edge.text.library_tokenizer import LibraryTokenizer as Backend
    else:
        from gpt2_edge.text.byte_level.tokenizer import ByteLevelTokenizer as Backend
    memory = resident()
    begin = time.perf_counter()
    tokenizer = Backend(content)
    read = time.perf_counter() - begin
    count = len(tokenizer.encode(text, False, False))
    new = Backend(content)
    first = seconds(lambda: new.encode(text, False, False))
    later = statistics.median(
        seconds(lambda: tokenizer.encode(text, False, False)) for _ in range(rounds)
    )
    print(
        f"{kind:8} read in {read:.3f} s; {count:,} ids: {first:.3f} s at first "
        f"({count / first:,.0f} ids/s), then {later:.3f} s ({count / later:,.0f} ids/s); "
        f"{resident() - memory:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", choices=("library", "python"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    content, text = options.tokenizer.read_bytes(), options.text.read_text("utf-8")
    if options.kind:
        measure(options.kind, content, text, options.rounds)
        return
    print(f"{len(text.encode()) / 1e6:.2f} MB of text, Python {sys.version.split()[0]}", flush=True)
    for kind in ("library", "python"):  # each in a process of its own, for its memory
        environment = os.environ | {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        subprocess.run([sys.executable, *sys.argv, "--kind", kind], env=environment, check=True)


if __name__ == "__main__":
    main()
