"""What a person presses: a digit takes an option, letters do things, words are words."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import UnreadableError, text_of
from gpt2_edge_cli.terminal import columns, without_steering

_LETTERS: dict[str, Literal["undo", "draw", "end"]] = {"u": "undo", "r": "draw", "q": "end"}
_END, _ERASE, _ERASE_ALL, _ESCAPE = "\x04", ("\x7f", "\b"), "\x15", "\x1b"
_LINE = 1 << 16  # bytes of a line; a context is full long before
_SEQUENCE_SECONDS = 0.05  # in which the rest of an arrow key's characters come


class Command(NamedTuple):
    """What to do: take option `value`, undo, draw, add the text `value`, end, or nothing."""

    kind: Literal["take", "undo", "draw", "add", "end", "nothing"]
    value: str = ""


def command_of(line: str) -> Command:
    """The command that stands on a line of its own."""
    if not line:
        return Command("nothing")
    if len(line) == 1 and line in "123456789":
        return Command("take", line)
    return Command(_LETTERS[line]) if line in _LETTERS else Command("add", line)


def line_commands() -> Iterator[Command]:
    """Commands on the lines of standard input, where that is no terminal."""
    while sys.stdin is not None and (line := sys.stdin.buffer.readline(_LINE + 1)):
        if len(line) > _LINE:
            raise GenerationError(f"a line of standard input has more than {_LINE >> 10} KB")
        try:
            yield command_of(text_of(line).removesuffix("\n"))
        except UnreadableError:
            yield Command("nothing")


class Keys:
    """Commands as keys of a terminal: single letters count at once, words with Enter.

    read: the next character, empty at the end. write: shows what is typed.
    """

    def __init__(self, read: Callable[[], str], write: Callable[[str], None]) -> None:
        self._read, self._write = read, write
        self.typed = ""  # the text of the last command, for whoever has to clear it away

    def next(self) -> Command:
        """Wait for a command."""
        self.typed = ""
        key = self._read()
        if key in ("", _END):
            return Command("end")
        if key in _LETTERS or (key and key in "123456789"):
            return command_of(key)
        if key == "\t":
            return self._line("")
        return self._line(key) if key.isprintable() else Command("nothing")

    def _line(self, text: str) -> Command:
        """Let words be typed, of which `text` is the beginning."""
        self._write(without_steering(text))
        while (key := self._read()) not in ("", "\n", "\r"):
            if key in _ERASE or key == _ERASE_ALL:
                gone = text if key == _ERASE_ALL else text[-1:]
                text = text[: len(text) - len(gone)]
                self._write("\b \b" * columns(gone))
                if not text:
                    return Command("nothing")
            elif key.isprintable():
                text += key
                self._write(key)
        self.typed = text
        return Command("add", text) if text else Command("nothing")


@contextmanager
def terminal_keys(write: Callable[[str], None]) -> Iterator[Keys | None]:
    """The keys of the terminal that standard input is, as they are pressed; None where a terminal
    cannot be asked for that (Windows).
    """
    try:
        import select
        import termios
        import tty
    except ImportError:
        yield None
        return
    number = sys.stdin.fileno()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read() -> str:
        while True:
            byte = os.read(number, 1)
            text = decoder.decode(byte, final=not byte)
            if text == _ESCAPE:
                _skip_sequence(follow)
            elif text or not byte:
                return text

    def follow() -> bytes:
        """A byte that comes at once, if one does."""
        waits = select.select([number], [], [], _SEQUENCE_SECONDS)[0]
        return os.read(number, 1) if waits else b""

    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number, termios.TCSADRAIN)
        yield Keys(read, write)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _skip_sequence(follow: Callable[[], bytes]) -> None:
    """Read what comes with an Escape: nothing, a letter, or the rest of an arrow key (ECMA-48)."""
    if follow() in (b"[", b"O"):
        while (byte := follow()) and not b"@" <= byte <= b"~":
            pass
