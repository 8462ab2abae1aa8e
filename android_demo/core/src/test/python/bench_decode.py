"""Print the tokens per second at which the Python runtime decodes: median of some generations.

python bench_decode.py PACKAGE THREADS
"""

from __future__ import annotations

import statistics
import sys

from gpt2_edge import GenerationConfig, Generator

_GENERATIONS = 5  # as in Benchmark.kt
_PROMPT = [7 * i + 1 for i in range(128)]
_CONFIG = GenerationConfig(max_new_tokens=128, ignore_eos=True)


def main() -> None:
    package, threads = sys.argv[1], int(sys.argv[2])
    generator = Generator.load(package, threads=threads)
    generator.generate(_PROMPT, _CONFIG)
    rates = [
        generator.generate(_PROMPT, _CONFIG).decode_tokens_per_second for _ in range(_GENERATIONS)
    ]
    sys.stdout.write(f"{statistics.median(rates):.3f}\n")


if __name__ == "__main__":
    main()
