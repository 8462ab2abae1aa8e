"""Rank sentences, the most natural first:

    python examples/rank_sentences.py PACKAGE < sentences.txt

Prints the perplexity of each line: how many tokens the model hesitates between, on average. It is a
mean for each token, so long and short sentences compare.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from gpt2_edge import Generator, GPT2EdgeError, text_perplexity


def ranked(generator: Generator, sentences: Iterable[str]) -> list[tuple[float, str]]:
    """Each sentence with its perplexity, lowest first; empty ones are left out."""
    wanted = [sentence.strip() for sentence in sentences]
    # bos: the first word counts, too, and a sentence may be a single token.
    return sorted(
        (text_perplexity(generator, sentence, bos=True).perplexity, sentence)
        for sentence in wanted
        if sentence
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Rank the lines of standard input.")
    parser.add_argument("package")
    arguments = parser.parse_args()
    for perplexity, sentence in ranked(Generator.load(arguments.package), sys.stdin):
        print(f"{perplexity:10.1f}  {sentence}")


if __name__ == "__main__":
    try:
        main()
    except GPT2EdgeError as error:
        sys.exit(str(error))
