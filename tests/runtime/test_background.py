"""Work beside the caller's is done once, whoever does it."""

from __future__ import annotations

import _thread
import errno
import mmap
import os
import subprocess
import sys
import threading
import time

import pytest

from gpt2_edge.graph import background
from gpt2_edge.graph.background import Beside, pause


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


def run_to_the_end(program: str) -> tuple[str, float]:
    """What a process of `program` wrote, and its seconds; it must end well."""
    started = time.monotonic()
    imports = "import _thread, os, time\nfrom gpt2_edge.graph.background import Beside, pause"
    process = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{program}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout, time.monotonic() - started


def test_a_process_ends_behind_the_work_that_nobody_waits_for() -> None:
    said, _ = run_to_the_end("Beside(lambda: (time.sleep(0.3), print('done', flush=True)))")
    assert said == "done\n"


def test_a_process_ends_behind_a_thread_s_last_line() -> None:
    said, _ = run_to_the_end("""
class Slow:
    def __init__(self, lock): self.lock = lock
    def __enter__(self): return self.lock.__enter__()
    def __exit__(self, *error): return self.lock.__exit__(*error)
    def release(self):
        self.lock.release()
        time.sleep(0.3)
        print("over", flush=True)
beside = Beside(lambda: time.sleep(0.1))
beside._done = Slow(beside._done)
while not beside._claimed.locked():
    time.sleep(0.001)
beside.result()
""")
    assert said == "over\n"


def test_a_process_does_not_wait_for_a_thread_that_found_no_room() -> None:
    _, seconds = run_to_the_end("_thread.start_new_thread = lambda *_: 1\nBeside(print)")
    assert seconds < 20


def test_who_sleeps_goes_on_when_the_process_ends() -> None:
    said, seconds = run_to_the_end("Beside(lambda: print(pause(50), pause(50), flush=True))")
    assert said == "False False\n"
    assert seconds < 30


def test_a_pause_is_as_long_as_the_process_lasts() -> None:
    started = time.monotonic()
    assert pause(0.05)
    assert time.monotonic() - started > 0.04


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_process_waits_for_no_thread_of_the_other() -> None:
    said, seconds = run_to_the_end("""
Beside(lambda: pause(50))
if os.fork():
    os.wait()
    print("waited")
""")
    assert said == "waited\n"
    assert seconds < 30


def test_its_beginner_goes_on_behind_its_first_line() -> None:
    """What it takes before could be the room that the first line needs."""
    for _ in range(20):
        beside = Beside(lambda: None)
        assert beside not in background._beginning
        beside.result()
