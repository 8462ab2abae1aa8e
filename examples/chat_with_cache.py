"""Talk with a model; each turn reads only its own tokens:

    python examples/chat_with_cache.py PACKAGE

The cache keeps the keys and values of the conversation. What was said stands in quotation marks, as
in a novel, which is what a model that was never taught to chat knows. `gpt2-edge chat` does more:
chat templates, /undo, /retry.
"""

from __future__ import annotations

import argparse
import sys

from gpt2_edge import GenerationResult, Generator, GPT2EdgeError


class Conversation:
    """What was said so far, as token ids: an answer stays the tokens that the model wrote."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._cache = generator.new_cache()
        self._ids: list[int] = []

    def answer(self, said: str, seed: int) -> GenerationResult:
        """Print the answer to `said` as it comes; GPT2EdgeError leaves the conversation as it was.

        Once the context is full, its beginning is forgotten.
        """
        # What a person types is text, even where it looks like a special token.
        turn = self._generator.encode(f'\n"{said}"\n\n"', parse_special=False)
        ids = [*self._ids, *turn]
        with self._generator.stream(
            ids,
            cache=self._cache,
            stop_strings=('"',),
            context_overflow="slide",
            max_new_tokens=60,
            temperature=0.7,
            seed=seed,
        ) as stream:
            for piece in stream:
                print(piece, end="", flush=True)
        print()
        self._ids = [*ids, *stream.result.ids]
        return stream.result


def main() -> None:
    parser = argparse.ArgumentParser(description="Talk line by line; Ctrl-D ends it.")
    parser.add_argument("package")
    arguments = parser.parse_args()
    conversation = Conversation(Generator.load(arguments.package))
    for seed, line in enumerate(sys.stdin):
        if not (said := line.strip()):
            continue
        try:
            result = conversation.answer(said, seed)
        except GPT2EdgeError as error:  # a line longer than the context: the talk goes on
            print(error, file=sys.stderr)
            continue
        read = result.prompt_tokens - result.cached_tokens
        print(f"[{read} of {result.prompt_tokens} tokens were new]", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except GPT2EdgeError as error:
        sys.exit(str(error))
