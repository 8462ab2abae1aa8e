"""What the system says of a file that no writer leaves as it was."""

from __future__ import annotations

import os
import time
from pathlib import Path

FileState = tuple[int, ...]
# Windows keeps no time of change that a program cannot set.
_TELLING = os.name == "posix"
# File systems note times in steps, of up to two seconds: what is written within the step in which a
# file was looked at leaves its state as it was.
_STEP = 2_000_000_000  # nanoseconds


def file_state(path: Path) -> FileState:
    """Inode, size and times of the link `path` and of what it leads to; () where there is nothing.

    The time of change, which on POSIX systems only the clock sets, is among them.
    """
    return (*_state(path, follow=False), *_state(path, follow=True))


def is_settled(state: FileState) -> bool:
    """Whether a file that is in `state` now cannot be written from now on and be in it again."""
    latest = time.time_ns() - _STEP
    times = (*state[3::5], *state[4::5])
    return _TELLING and bool(times) and max(times) < latest


def _state(path: Path, follow: bool) -> FileState:
    try:
        status = os.stat(path, follow_symlinks=follow)  # noqa: PTH116
    except (OSError, ValueError):
        return ()
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
