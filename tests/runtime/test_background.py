"""Work beside the caller's is done once, whoever does it."""

from __future__ import annotations

import _thread
import errno
import mmap
import threading

import pytest

from gpt2_edge.graph.background import Beside


def test_it_is_done_in_a_thread_of_its_own() -> None:
    begun, go_on = threading.Event(), threading.Event()
    threads = []

    def work() -> None:
        begun.set()
        go_on.wait(30)
        threads.append(threading.get_ident())

    beside = Beside(work)
    assert begun.wait(30)
    go_on.set()
    beside.result()
    beside.result()
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


@pytest.mark.parametrize("failure", [RuntimeError("can't start new thread"), MemoryError()])
def test_without_room_for_a_thread_the_caller_does_it(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise failure

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    threads: list[int] = []
    Beside(lambda: threads.append(threading.get_ident())).result()
    assert threads == [threading.get_ident()]


def test_none_begins_where_its_first_line_would_find_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    begun: list[object] = []
    monkeypatch.setattr(mmap, "mmap", refuse)
    monkeypatch.setattr(_thread, "start_new_thread", lambda *call: begun.append(call))
    done: list[int] = []
    Beside(lambda: done.append(1)).result()
    assert (begun, done) == ([], [1])


def test_a_thread_that_never_begins_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: 1)
    done: list[int] = []
    Beside(lambda: done.append(1)).result()
    assert done == [1]


@pytest.mark.parametrize("kind", [ValueError, MemoryError, KeyboardInterrupt])
def test_what_it_raises_is_raised_by_result(kind: type[BaseException]) -> None:
    def work() -> None:
        raise kind("why")

    with pytest.raises(kind):
        Beside(work).result()
