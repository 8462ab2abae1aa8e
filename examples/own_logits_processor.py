"""A logits processor of one's own: a lipogram, a text without a letter.

    python examples/own_logits_processor.py PACKAGE "It was" --without e

A processor is a pure function of the tokens so far and the logits of the next one, so it works
alike in single texts, batches and beams.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gpt2_edge import Generator, GPT2EdgeError

Logits = npt.NDArray[np.float32]


def without(generator: Generator, letter: str) -> Callable[[Sequence[int], Logits], Logits]:
    """A processor that rules out every token with `letter` in it, small or capital."""
    labels = map(generator.token_label, range(generator.vocab_size))
    forbidden = np.array([letter.lower() in label.lower() for label in labels])
    forbidden[list(generator.eos_token_ids)] = False  # <|endoftext|> has an e, but writes none

    def process(ids: Sequence[int], logits: Logits) -> Logits:
        return np.where(forbidden, np.float32(-np.inf), logits)

    return process


def main() -> None:
    parser = argparse.ArgumentParser(description="Write without a letter.")
    parser.add_argument("package")
    parser.add_argument("prompt")
    parser.add_argument("--without", default="e", metavar="LETTER")
    arguments = parser.parse_args()
    if len(arguments.without) != 1 or not arguments.without.isascii():
        # Other letters may be written as two tokens, of which neither is the letter.
        parser.error(f"--without is {arguments.without!r}; it must be a single ASCII letter")
    generator = Generator.load(arguments.package)
    print(
        generator.generate(
            arguments.prompt,
            logits_processor=[without(generator, arguments.without)],
            max_new_tokens=40,
            temperature=0.8,
            seed=1,
        )
    )


if __name__ == "__main__":
    try:
        main()
    except GPT2EdgeError as error:
        sys.exit(str(error))
