"""A program that runs while a test goes on, and hears signals."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cli.command import ENVIRONMENT


def default_signals() -> None:
    """In the child: a shell's background jobs are started with SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def started(
    *command: object, prepare: Callable[[], None] = default_signals
) -> Iterator[subprocess.Popen[bytes]]:
    """`command`, until the end of the block. prepare: is run in the child before it."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        preexec_fn=prepare,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
