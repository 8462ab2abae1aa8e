"""Autocomplete at a terminal (pip install '.[examples]'):

    python examples/autocomplete.py PACKAGE

Behind what is typed stands, in grey, how the model would go on; the right arrow takes it, Alt-F a
word of it. A cache holds what was read, so a key costs only the tokens that are new.
"""

from __future__ import annotations

import argparse
import sys

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion, ThreadedAutoSuggest
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output

from gpt2_edge import Generator, GPT2EdgeError


class Continuation(AutoSuggest):
    """The likeliest next words behind the text, up to the end of a sentence."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._cache = generator.new_cache()

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        """None for a text that is empty or too long, and where nothing comes to mind."""
        text = document.text.rstrip(" ")  # a token begins with the space before its word
        if not text:
            return None
        try:
            result = self._generator.generate(
                text,
                # What was typed since makes this suggestion worthless.
                should_stop=lambda: buffer.document != document,
                cache=self._cache,
                stop_strings=("\n",),
                max_new_tokens=8,
            )
        except GPT2EdgeError:
            return None
        typed_spaces = len(document.text) - len(text)
        continuation = str(result)
        if typed_spaces:
            continuation = continuation.removeprefix(" ")
        return Suggestion(continuation) if continuation.strip() else None


def new_session(
    generator: Generator, keys: Input | None = None, screen: Output | None = None
) -> PromptSession[str]:
    """A prompt that suggests; typing does not wait for the model, which has a thread of its own."""
    suggest = ThreadedAutoSuggest(Continuation(generator))
    return PromptSession("> ", auto_suggest=suggest, input=keys, output=screen)


def main() -> None:
    parser = argparse.ArgumentParser(description="Type, and take what is suggested; Ctrl-D ends.")
    parser.add_argument("package")
    session = new_session(Generator.load(parser.parse_args().package))
    while True:
        try:
            session.prompt()
        except (EOFError, KeyboardInterrupt):
            return


if __name__ == "__main__":
    try:
        main()
    except GPT2EdgeError as error:
        sys.exit(str(error))
