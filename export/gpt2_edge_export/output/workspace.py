"""The hidden folder in which a package is written, beside the place that it is for."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from gpt2_edge.errors import ExportError

try:
    import fcntl
except ImportError:  # Windows, where nobody can tell a leftover from what is being written
    fcntl = None  # type: ignore[assignment]

_NEW, _OLD, _LOCK = "new", "old", "lock"
_TRIES = 20


class Workspace:
    """A folder beside `destination`, of a short name, whose lock file its process holds.

    It has `new`, the package that is being written, and for an instant `old`, the one that is
    replaced. The lock goes with the process, however that ends: `remove_leftovers` can tell.
    """

    def __init__(self, destination: Path) -> None:
        self._destination = destination
        self._folder: Path | None = None
        self._lock = self._reserve = -1

    @property
    def new(self) -> Path:
        assert self._folder is not None
        return self._folder / _NEW

    def make(self) -> None:
        """Make it, with `new` empty; ExportError where no folder can be made."""
        parent = self._destination.parent
        try:
            for _ in range(_TRIES):
                self._folder = parent / f"{workspace_prefix(self._destination)}{_token()}"
                self._folder.mkdir(0o700)
                with contextlib.suppress(FileNotFoundError, BlockingIOError):
                    self._lock = locked(self._folder)
                    self._reserve = os.open(os.devnull, os.O_RDONLY)
                    self.new.mkdir()
                    return
                # Another export took it for a leftover, in the instant before it was locked.
            raise FileExistsError(errno.EEXIST, "too many exports at once")
        except OSError as error:
            # Where there is no making folders, as in /proc, systems say that one is missing.
            reason = "" if error.errno == errno.ENOENT else f" ({error.strerror})"
            raise ExportError(
                f"{self._destination} cannot be written: {parent} takes no new folder{reason}; "
                "choose another output"
            ) from error

    def put_in_place(self, check: Callable[[Path], None]) -> None:
        """Rename `new` to the destination; `check` is asked again about what was there."""
        old = self.new.with_name(_OLD)
        if os.path.lexists(self._destination):
            self._destination.rename(old)
            check(old)
        self.new.rename(self._destination)

    def remove(self) -> None:
        """Leave nothing but a package that was to be replaced, where none took its place."""
        if self._folder is None:
            return
        if self._reserve >= 0:  # which removing needs, where descriptors have run out
            os.close(self._reserve)
        clear_workspace(self._folder, self._destination)
        if self._lock >= 0:
            os.close(self._lock)
        self._folder, self._lock, self._reserve = None, -1, -1


def workspace_prefix(destination: Path) -> str:
    """What the names of workspaces for `destination` begin with, however long its own is."""
    digest = hashlib.sha256(os.fsencode(destination.name)).hexdigest()
    return f".gpt2-edge-{digest[:12]}-"


def locked(workspace: Path) -> int:
    """A descriptor that keeps `workspace` locked until it is closed.

    Raises BlockingIOError if a process holds the lock, FileNotFoundError if the folder went.
    """
    path = workspace / _LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError:  # a file system without locks: what is left there stays
                return descriptor
        if not os.path.samestat(path.stat(), os.fstat(descriptor)):
            raise FileNotFoundError(errno.ENOENT, "gone", str(path))
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def clear_workspace(folder: Path, destination: Path) -> None:
    """Remove the workspace `folder`, whose process is done with it or ended.

    A package in it that was to be replaced is put back where none took its place. Where that
    cannot be done it is left as it is: better a leftover than a loss.
    """
    old = folder / _OLD
    if os.path.lexists(old):
        if is_vacant(destination):
            try:
                old.rename(destination)
            except OSError:
                return
        elif os.path.lexists(folder / _NEW):  # another's package has come there
            return
    remove_tree(folder)


def is_vacant(destination: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    try:
        return not os.listdir(destination)  # noqa: PTH208 - errors come at once
    except FileNotFoundError:
        return True
    except OSError:
        return False


def remove_tree(folder: Path) -> None:
    """Remove `folder` with all that is in it, as far as that goes; one descriptor will do."""
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            path = Path(parent, name)
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _token() -> str:
    return secrets.token_hex(4)
