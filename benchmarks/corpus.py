"""What one machine makes of a corpus: gpt2_edge.ray's classes on random texts.

python benchmarks/corpus.py PACKAGE
python benchmarks/corpus.py PACKAGE --tokens 512 --new 128 --batches 8 32
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from gpt2_edge import Generator
from gpt2_edge.ray import Continuer, Scorer


def main() -> None:
    """Time both, after a batch that does not count, and print their rates."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package")
    parser.add_argument("--texts", type=int, default=32, help="scored, and continued")
    parser.add_argument("--tokens", type=int, default=256, help="of a text that is scored")
    parser.add_argument("--prompt", type=int, default=32, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens of a continuation")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16, 32])
    arguments = parser.parse_args()
    generator = Generator.load(arguments.package)
    texts = random_texts(generator, arguments.texts, arguments.tokens)
    scorer = Scorer(arguments.package)
    scorer({"text": texts[:1]})
    started = time.perf_counter()
    scored = scorer({"text": texts})
    rate = scored["tokens"].sum() / (time.perf_counter() - started)
    print(
        f"scoring texts of {scored['tokens'].mean():.0f} tokens: {rate:,.0f} tokens/s", flush=True
    )
    prompts = random_texts(generator, arguments.texts, arguments.prompt)
    settings = {"max_new_tokens": arguments.new, "temperature": 1.0, "ignore_eos": True}
    continuer = Continuer(arguments.package, settings=settings)
    continuer({"prompt": prompts[:1]})
    for size in arguments.batches:
        started, made = time.perf_counter(), 0
        for begin in range(0, len(prompts), size):
            done = continuer({"prompt": prompts[begin : begin + size]})
            made += int(done["generated_tokens"].sum())
        rate = made / (time.perf_counter() - started)
        print(
            f"continuing prompts of {arguments.prompt} tokens by {arguments.new}, "
            f"{size} together: {rate:,.0f} new tokens/s",
            flush=True,
        )


def random_texts(generator: Generator, count: int, tokens: int) -> np.ndarray[Any, Any]:
    """Texts of about as many tokens each."""
    random = np.random.default_rng(0)
    texts = np.empty(count, object)
    texts[:] = [
        generator.decode(random.integers(0, generator.vocab_size - 1, tokens).tolist())
        for _ in range(count)
    ]
    return texts


if __name__ == "__main__":
    main()
