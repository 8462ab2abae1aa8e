"""Progress bars: what they say on a terminal, and that they say nothing elsewhere."""

from __future__ import annotations

import gc
import io
import sys

import pytest

from gpt2_edge_export import progress
from gpt2_edge_export.progress import progress_bar, stage


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Called in tests: what a fixture puts in place of sys.stderr, pytest takes away again."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(progress, "_DELAY", 0)
    return shown


def test_units_read_well(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    with progress_bar(25, "weights to int4", "matrices") as bar:
        bar.update(10)
        bar.refresh()  # type: ignore[attr-defined]
    last = [line for line in screen.getvalue().split("\r") if "10/25" in line][-1]
    assert "weights to int4:" in last
    assert "10/25 matrices [00:00<" in last
    assert "/s" not in last
    assert "s/" not in last


def test_work_that_is_not_counted_shows_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    with progress_bar(2.5e12, "weights to int4") as bar:
        bar.update(1e12)
        bar.refresh()  # type: ignore[attr-defined]
    last = [line for line in screen.getvalue().split("\r") if "40%" in line][-1]
    assert "| [00:00<" in last
    assert "e+" not in last


def test_a_stage_stands_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    with stage("attempt 2 of at most 6, about 0:40 each"), progress_bar(2, "weights", "x") as bar:
        bar.refresh()  # type: ignore[attr-defined]
    with progress_bar(2, "later", "x") as bar:
        bar.refresh()  # type: ignore[attr-defined]
    assert "attempt 2 of at most 6, about 0:40 each: weights:" in screen.getvalue()
    assert "each: later" not in screen.getvalue()


@pytest.mark.parametrize("closed", [True, False])
def test_nothing_off_a_terminal(monkeypatch: pytest.MonkeyPatch, closed: bool) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", None if closed else shown)
    with progress_bar(2, "weights", "x") as bar:
        bar.update()
    assert shown.getvalue() == ""


def test_a_bar_that_was_cut_while_it_was_made_goes_quietly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """tqdm's destructor asks an instance for what its constructor sets."""
    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    bar = progress._Bar.__new__(progress._Bar)
    del bar
    gc.collect()
    assert dropped == []
