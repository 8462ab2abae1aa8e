"""The status line: on a terminal only, and gone afterwards."""

from __future__ import annotations

import io

import pytest

from gpt2_edge.status import status_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_line_is_shown_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with status_line() as show:
        show("measuring")
    assert terminal.getvalue() == "\r\033[Kmeasuring\r\033[K"


def test_off_a_terminal_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with status_line() as show:
        show("measuring")
    assert pipe.getvalue() == ""
