"""A signal is heard where the command waits, and ends it where a library computes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.started import started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="POSIX signals, Linux's mutexes")

# A mutex that is locked twice: a call that neither returns nor is interrupted, as a long product.
COMPUTES = """
import ctypes, sys
from gpt2_edge_cli import signals

library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
library.pthread_mutex_lock(mutex)
signals._PATIENCE = 0.5
with signals.Signals(own_process=True) as found:
    if sys.argv[1] == "written":
        found.unwind()
    print("computing", flush=True)
    library.pthread_mutex_lock(mutex)
"""

# A call that keeps Python's lock, as ONNX Runtime's loading does before 1.31.
KEEPS_LOCK = """
import ctypes, sys
import onnxruntime
from gpt2_edge_cli.signals import LoadingGraph, Signals

onnxruntime.__version__ = "1.30.2"
mutex, which = ctypes.create_string_buffer(64), sys.argv[1]
library = {"keeps": ctypes.PyDLL, "kept": ctypes.CDLL}[which](None)
library.pthread_mutex_lock(mutex)
with Signals(own_process=True):
    with LoadingGraph():
        if which == "keeps":
            print("computing", flush=True)
            library.pthread_mutex_lock(mutex)
    print("computing", flush=True)
    library.pthread_mutex_lock(mutex)
"""

# The signal is taken by another thread, so it does not interrupt the wait; nor does one that comes
# between Python's look for signals and the wait.
WAITS = """
import os, signal, sys, threading
from gpt2_edge_cli.chatting.lines import line_reader
from gpt2_edge_cli.signals import Signals

with Signals(own_process=True) as found:
    found.unwind()
    threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()
    try:
        {wait}
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def wait_until_it_computes(process: subprocess.Popen[bytes]) -> None:
    """Until it has told so, and then stands still in the call."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"computing\n"
    status = Path(f"/proc/{process.pid}/status")
    while "State:\tS" not in status.read_text():
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGINT, b"gpt2-edge: interrupted\n"), (signal.SIGTERM, b"")]
)
def test_a_signal_ends_a_long_loading(number: signal.Signals, words: bytes) -> None:
    with started(sys.executable, "-c", COMPUTES, "loaded") as process:
        wait_until_it_computes(process)
        process.send_signal(number)
        assert process.communicate(timeout=60) == (b"", words)
        assert process.returncode == 128 + number


@pytest.mark.parametrize(
    ("which", "expected"),
    [("keeps", (b"", -signal.SIGINT)), ("kept", (b"gpt2-edge: interrupted\n", 130))],
)
def test_a_graph_whose_loading_keeps_the_lock(which: str, expected: tuple[bytes, int]) -> None:
    with started(sys.executable, "-c", KEEPS_LOCK, which) as process:
        wait_until_it_computes(process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert (errors, process.returncode) == expected


def test_a_signal_that_is_ignored_is_ignored_by_the_kernel_too() -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with started(sys.executable, "-c", KEEPS_LOCK, "keeps", prepare=ignore) as process:
        wait_until_it_computes(process)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM


def test_the_second_ends_what_has_something_to_clean_up() -> None:
    with started(sys.executable, "-c", COMPUTES, "written") as process:
        wait_until_it_computes(process)
        process.send_signal(signal.SIGINT)
        time.sleep(2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"", b"gpt2-edge: interrupted\n")
        assert process.returncode == 130


@pytest.mark.parametrize(
    "wait", ["os.read(0, 1)", "line_reader()()", "sys.stdin.buffer.readline()"]
)
def test_a_wait_for_keys_is_interrupted(wait: str) -> None:
    from cli.terminal import AtTerminal

    with AtTerminal(command=[sys.executable, "-c", WAITS.format(wait=wait)]) as terminal:
        terminal.expect("interrupted\n")
        assert terminal.end() == 0


WITHOUT = """
import _thread, errno, os, signal
from gpt2_edge_cli.signals import Signals

def fail(*_):
    raise {error}

{function} = fail
handler = signal.getsignal(signal.SIGURG)
with Signals(own_process=True) as found:
    found.unwind()
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        print("heard", signal.getsignal(signal.SIGURG) == handler)
"""


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("os.pipe", "OSError(errno.EMFILE, 'Too many open files')"),
        ("_thread.start_new_thread", 'RuntimeError("can\'t start new thread")'),
    ],
)
def test_a_command_may_do_without(function: str, error: str) -> None:
    program = WITHOUT.format(function=function, error=error)
    with started(sys.executable, "-c", program) as process:
        assert process.communicate(timeout=60) == (b"heard True\n", b"")
        assert process.returncode == 0
