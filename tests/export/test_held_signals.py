"""A signal at any line of writing a package leaves all of it or nothing, and its handler runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from gpt2_edge_export.output import held_signals, package, workspace
from gpt2_edge_export.output.held_signals import HeldSignals
from gpt2_edge_export.output.package import write_atomically

_FILES = {module.__file__ for module in (package, workspace, held_signals)}


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Python's own handler of Ctrl-C; whatever was there comes back."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """An empty folder to write into."""
    folder = tmp_path / "room"
    folder.mkdir()
    return folder


def write(folder: Path) -> None:
    for name in ("model.onnx", "README.md"):
        (folder / name).write_text("new", "utf-8")


class Interrupter:
    """A trace function that sends SIGINT at the event number `at` of the modules of interest."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.sent_in: str | None = None

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in _FILES:
            return None
        if event in ("call", "line", "return"):
            self._left -= 1
            if self._left == 0:
                self.sent_in = f"{frame.f_code.co_name}:{frame.f_lineno}"
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
        return self


def interrupted(at: int, action: Callable[[], object]) -> tuple[bool, str | None]:
    """Whether `action`, interrupted at an event, raised KeyboardInterrupt; where that was."""
    interrupter = Interrupter(at)
    before = sys.gettrace()
    sys.settrace(interrupter)
    try:
        action()
    except KeyboardInterrupt:
        return True, interrupter.sent_in
    finally:
        sys.settrace(before)
    return False, interrupter.sent_in


def test_an_interrupt_at_any_line_leaves_all_or_nothing(room: Path) -> None:
    destination = room / "package"
    seen = set()
    for at in range(1, 2000):
        raised, where = interrupted(at, lambda: write_atomically(destination, False, write))
        if where is None:
            break
        assert raised, where
        left = sorted(path.name for path in room.rglob("*"))
        assert left in ([], ["README.md", "model.onnx", "package"]), where
        for path in sorted(room.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        seen.add((where.split(":")[0], bool(left)))
    else:
        pytest.fail("it did not come to an end")
    assert {("make", False), ("put_in_place", True), ("remove", True), ("hold", False)} <= seen
    assert len(seen) > 15


def test_interrupts_during_the_clean_up_wait_for_its_end(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0
    remove = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        nonlocal sent
        sent += 1
        os.kill(os.getpid(), signal.SIGINT)
        remove(self, missing_ok)

    def fail(folder: Path) -> None:
        write(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(room / "package", False, fail)
    assert sent == 3  # two files, and the lock
    assert list(room.iterdir()) == []


def test_an_interrupt_while_the_older_one_is_removed_comes_behind_it(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (room / "package").mkdir()
    clear = workspace.remove_tree

    def interrupt(folder: Path) -> None:
        signal.raise_signal(signal.SIGINT)
        clear(folder)

    monkeypatch.setattr(workspace, "remove_tree", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(room / "package", False, write)
    assert [path.name for path in room.iterdir()] == ["package"]
    assert (room / "package" / "model.onnx").exists()


def test_what_is_ignored_or_ends_the_process_stays_so() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        signals = HeldSignals()
        signals.catch()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) != signal.default_int_handler
        signals.release()
    finally:
        signal.signal(signal.SIGTERM, before)
