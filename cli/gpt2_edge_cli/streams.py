"""The standard streams, which may be closed, full, directories, or no terminal."""

from __future__ import annotations

import faulthandler
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def hold_places() -> None:
    """Open the null device where a standard stream is closed.

    Otherwise the next file that is opened takes its number, and whatever a library prints goes
    into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def mute_libraries() -> None:
    """Let only Python write on standard error from here on, through `sys.stderr`.

    What native libraries print (a panic of tokenizers takes 60 lines, with paths of the machine
    that built it; ONNX Runtime's log) goes to the null device: what matters of it is in the error's
    own line. Python's reports of crashes have no other place; who asked for them gets them.
    """
    stderr = sys.stderr
    if stderr is None or faulthandler.is_enabled():
        return
    try:
        if stderr.fileno() != 2:
            return
        stderr.flush()
        kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except (OSError, ValueError):  # closed, or no more files may be opened
        return
    os.dup2(null, 2)
    os.close(null)
    sys.stderr = open(kept, "w", 1, stderr.encoding, stderr.errors)  # noqa: SIM115, PTH123 - for good, by number


def say(line: str) -> None:
    """Print `gpt2-edge: LINE` on standard error, if anybody can be told."""
    note(f"gpt2-edge: {line}")


def note(line: str) -> None:
    """Print a line on standard error, if anybody can be told."""
    if sys.stderr is None:  # print() would take standard output
        return
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # full, or closed
        sys.stderr = None


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads what is written to `stream`, or types what is read from it."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def flush_output() -> None:
    """Write out what is buffered, now rather than when Python ends and can only complain."""
    if sys.stdout is not None:
        sys.stdout.flush()


def drop_output() -> None:
    """Forget what is still buffered: it has nowhere to go."""
    sys.stdout = None
