"""How fast prompts are read, with and without weights of their own, in parts of 128 and 256 tokens.

python benchmarks/prompts.py PACKAGE...      after gpt2-edge optimize PACKAGE
python benchmarks/prompts.py PACKAGE --tokens 128 512 --threads 2
python benchmarks/prompts.py PACKAGE --reference FP32 --text held-out.txt

Rounds take turns; the figures are medians, in tokens per second. With a reference, the
Kullback-Leibler divergence from it is printed instead, in nats per token, both ways.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpt2_edge import Generator
from gpt2_edge.graph.cache import SharedCache, shared_buffers
from gpt2_edge.graph.prefill import PREFILL_CHUNK, TOKEN_TILE
from gpt2_edge.graph.run import GraphRun
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
    parser.add_argument("--reference", metavar="PACKAGE", help="the same checkpoint in fp32")
    parser.add_argument("--text", type=Path, help="to measure the divergence on")
    parser.add_argument("--most", type=int, default=20_480, help="tokens of it")
    arguments = parser.parse_args()
    if arguments.reference and not arguments.text:
        parser.error("--reference needs --text")
    if arguments.reference:
        for package in arguments.packages:
            print_divergence(package, arguments.reference, arguments.text, arguments.most)
        return
    ways = {}
    for package in arguments.packages:
        for weights in ("off", "auto"):
            generator = Generator.load(
                package, provider="cpu", threads=arguments.threads, prompt_weights=weights
            )
            if weights == "auto" and generator.session.prompts is None:
                print(f"{package}: nothing is kept for its prompts (gpt2-edge optimize)\n")
                continue
            for chunk in (TOKEN_TILE, PREFILL_CHUNK):
                ways[package, weights, chunk] = generator
    print(
        "| package | --prompt-weights | part | tokens | tokens per second |\n|---|---|---|---|---|"
    )
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


def print_divergence(package: str, reference: str, text: Path, most: int) -> None:
    """Print how far `package` is from `reference`, by its own graph and by that for prompts."""
    exact, candidate = Generator.load(reference), Generator.load(package, provider="cpu")
    prompts = candidate.session.prompts
    assert exact.tokenizer
    if prompts is None:
        raise SystemExit(f"{package}: nothing is kept for its prompts (gpt2-edge optimize)")
    ids = exact.tokenizer.encode(text.read_text(encoding="utf-8"))[:most]
    architecture, graph = candidate.manifest.architecture, candidate.manifest.graph
    width = architecture.context_length
    sums, count = {"own graph": 0.0, "graph for prompts": 0.0}, 0
    for start in range(0, len(ids) - 1, width):
        window = ids[start : start + width]
        wanted = log_softmax(exact.logits(window))
        buffers = shared_buffers(architecture, graph, 1, len(window))
        run = GraphRun(prompts, SharedCache(architecture, graph, buffers), 1, len(window))
        found = {"own graph": candidate.logits(window), "graph for prompts": run.one(window, 0, 0)}
        for name, logits in found.items():
            sums[name] += float((np.exp(wanted) * (wanted - log_softmax(logits))).sum())
        count += len(window)
    for name, total in sums.items():
        print(f"{package}, {name}: mean KL {total / count:.5f} on {count:,} tokens")


def log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Log-probabilities [tokens, vocab]."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


if __name__ == "__main__":
    main()
