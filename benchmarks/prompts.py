"""How fast prompts are read, with and without weights of their own, in parts of 128 and 256 tokens.

python benchmarks/prompts.py PACKAGE...      after gpt2-edge optimize PACKAGE
python benchmarks/prompts.py PACKAGE --tokens 128 512 --threads 2

Rounds take turns; the figures are medians, in tokens a second.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from gpt2_edge import Generator
from gpt2_edge.graph.prefill import CPU_CHUNK, PREFILL_CHUNK
from gpt2_edge.graph.token_sequence import TokenSequence

_WARM_UP = 40


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="+", metavar="PACKAGE")
    parser.add_argument("--tokens", type=int, nargs="+", default=[512])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    ways = {}
    for package in arguments.packages:
        for weights in ("off", "auto"):
            generator = Generator.load(
                package, provider="cpu", threads=arguments.threads, prompt_weights=weights
            )
            if weights == "auto" and generator.session.prompts is None:
                print(f"{package}: nothing is kept for its prompts (gpt2-edge optimize)\n")
                continue
            for chunk in (CPU_CHUNK, PREFILL_CHUNK):
                ways[package, weights, chunk] = generator
    print("| package | --prompt-weights | part | tokens | tokens a second |\n|---|---|---|---|---|")
    for tokens in arguments.tokens:
        seconds: dict[tuple[str, str, int], list[float]] = {way: [] for way in ways}
        for round_ in range(arguments.rounds):
            for way, generator in ways.items():
                ids = np.random.default_rng(0).integers(0, generator.vocab_size, tokens).tolist()
                sequence = generator.session.start(tokens)
                assert isinstance(sequence, TokenSequence)
                if round_ == 0:
                    sequence.prefill(ids[:_WARM_UP])
                    sequence.trim(0)
                started = time.perf_counter()
                sequence.prefill(ids, way[2])
                seconds[way].append(time.perf_counter() - started)
        for (package, weights, chunk), taken in seconds.items():
            speed = tokens / statistics.median(taken)
            print(f"| {package} | {weights} | {chunk} | {tokens} | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
