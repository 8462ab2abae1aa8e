"""What is shown between two choices: the end of the text, and the options with their bars."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from gpt2_edge.errors import GPT2EdgeError
from gpt2_edge_cli.choosing.keys import Command, Keys, line_commands, terminal_keys
from gpt2_edge_cli.streams import is_terminal
from gpt2_edge_cli.terminal import Screen, columns, cut, visible, without_steering, wrapped

if TYPE_CHECKING:
    from gpt2_edge.result import NextToken
    from gpt2_edge_cli.choosing.text import ChosenText

_BAR = 20  # columns
_FIGURES = 14  # columns of a number, a percentage and the spaces around the bar
_LEAST_LABEL = 12  # columns of a token, before the bar gets any
_HELP = "a digit takes one, u undoes, r draws one, q ends; words and Enter add them"
_PROMPT = "> "


def choose(text: ChosenText) -> None:
    """Let a person write `text`, and print it at the end.

    At a terminal by keys; elsewhere by the lines of standard input.
    """
    screen = Screen()
    with terminal_keys(screen.write) if is_terminal(sys.stdin) else nullcontext() as keys:
        _Chooser(text, screen, keys).run()


class _Chooser:
    def __init__(self, text: ChosenText, screen: Screen, keys: Keys | None) -> None:
        self._text, self._screen, self._keys = text, screen, keys
        self._lines = line_commands()
        self._height = 0  # lines of what is shown, above the cursor
        self._note = ""

    def run(self) -> None:
        """Show, wait, do; until the end."""
        while True:
            self._show()
            command = self._keys.next() if self._keys else next(self._lines, Command("end"))
            self._clear()
            if command.kind == "end":
                break
            self._note = ""
            try:
                self._do(command)
            except GPT2EdgeError as error:
                self._note = str(error)
        self._screen.write(f"{self._text.text}\n")

    def _do(self, command: Command) -> None:
        if command.kind == "take":
            self._text.take(int(command.value))
        elif command.kind == "draw":
            self._text.draw()
        elif command.kind == "add":
            self._text.add(command.value)
        elif command.kind == "undo" and not self._text.undo():
            self._note = "nothing is left to undo"

    def _show(self) -> None:
        size = shutil.get_terminal_size()
        width = max(size.columns - 1, 20)
        options = self._text.options
        room = max(size.lines - len(options) - 5, 1)
        lines = wrapped(without_steering(self._text.text).replace("\t", "    "), width)
        lines = [*lines[-room:], "", *rows(options, self._screen, width)]
        lines += [cut(self._note or _HELP, width)]
        self._height = len(lines)
        self._screen.write("\n".join(lines) + f"\n{_PROMPT if self._keys else ''}")

    def _clear(self) -> None:
        """Take away what `_show` wrote, and what was typed behind it, where the terminal can."""
        if self._keys is None or not self._screen.is_styled:
            self._screen.write("\n")
            return
        width = max(shutil.get_terminal_size().columns, 1)
        typed = columns(_PROMPT + self._keys.typed) // width
        # Not through `write`, which is for text.
        sys.stdout.write(f"\x1b[{self._height + typed}F\x1b[J")


def rows(options: Sequence[NextToken], screen: Screen, width: int) -> list[str]:
    """A line for each option, of at most `width` columns."""
    largest = max((option.probability for option in options), default=1.0)
    space = min(_BAR, width - _FIGURES - _LEAST_LABEL)
    found = []
    for number, option in enumerate(options, 1):
        bar = screen.bar(option.probability / largest, space) if space > 0 else ""
        bar += "  " if bar else ""
        label = cut(visible(option.text), width - 11 - columns(bar))
        found.append(f"{number}  {100 * option.probability:5.1f}%  {bar}{label}")
    return found
