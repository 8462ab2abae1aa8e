"""Where a chat's lines come from: a person at a terminal, or standard input."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import UnreadableError, text_of
from gpt2_edge_cli import streams
from gpt2_edge_cli.arguments import PROMPT_LIMIT, utf_8

PROMPT = "> "
_ENDLESS = 1 << 28  # bytes of a line behind which no end is looked for


class EndlessError(GenerationError):
    """Standard input is no text, so the chat ends."""


def line_reader() -> Callable[[], str | None]:
    """A function that gives the next line, None at the end; GenerationError for what is no text."""
    if streams.is_terminal(sys.stdin) and streams.is_terminal(sys.stdout):
        with contextlib.suppress(ImportError):  # Windows has none
            importlib.import_module("readline")  # which gives `input` editing and history
        return _typed
    return _piped


def _typed() -> str | None:
    try:
        line = input(PROMPT)
    except EOFError:
        sys.stdout.write("\n")
        return None
    except SystemError as error:
        # CPython's, where another signal is handled while Ctrl-C's exception is on its way.
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        raise
    except UnicodeDecodeError as error:
        raise GenerationError("the text is not UTF-8") from error
    return utf_8(line, "the text")


def _piped() -> str | None:
    if sys.stdin is None:
        return None
    line = sys.stdin.buffer.readline(PROMPT_LIMIT + 1)
    if not line:
        return None
    if len(line) > PROMPT_LIMIT:
        read = len(line)
        while line and not line.endswith(b"\n"):
            line = sys.stdin.buffer.readline(PROMPT_LIMIT)
            read += len(line)
            if read > _ENDLESS:
                raise EndlessError(f"a line has more than {_ENDLESS >> 20} MB: it seems endless")
        raise GenerationError(f"a line has more than {PROMPT_LIMIT >> 20} MB of text")
    try:
        return text_of(line).removesuffix("\n")
    except UnreadableError as error:
        raise GenerationError(f"a line of standard input is not UTF-8 text ({error})") from error
