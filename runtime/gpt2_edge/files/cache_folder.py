"""Where this machine's cache lies, and whether it may be used."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path

VARIABLE = "GPT2_EDGE_CACHE"
MAKING = ".making-"  # what the names of unfinished files and folders begin with
_NAME = "gpt2-edge"
_REMOVALS = 4


class CacheUnusableError(Exception):
    """Why the cache is not used, in words that stand behind its name."""


def cache_folder() -> Path | None:
    """The folder that GPT2_EDGE_CACHE names, or the platform's; None where it is switched off.

    Set and empty switches the cache off. Raises CacheUnusableError where no place is known, or a
    relative one is named. Nothing is made here.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        if not named:
            return None
        if not Path(named).is_absolute():
            raise CacheUnusableError(f"{VARIABLE} is no absolute path")
        return Path(named)
    try:
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / _NAME
        if sys.platform == "win32":
            local = os.environ.get("LOCALAPPDATA")
            return (Path(local) if local else Path.home() / "AppData" / "Local") / _NAME / "cache"
        base = os.environ.get("XDG_CACHE_HOME", "")
        # The specification says that a relative one is to be ignored.
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / _NAME
    except RuntimeError as error:  # a user without a home
        raise CacheUnusableError(f"there is no home folder; set {VARIABLE}") from error


def make_private(folder: Path) -> None:
    """Make `folder`, mode 0700, unless it is there; then `check_private`. Raises OSError too."""
    if not os.path.lexists(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(0o700, exist_ok=True)
    check_private(folder)


def check_private(path: Path, folder: bool = True) -> None:
    """Raise CacheUnusableError unless `path` is a folder (or regular file), no link, that is this
    user's and that nobody else can write; FileNotFoundError where there is none.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise CacheUnusableError(f"{path} is a link")
    kind = stat.S_ISDIR if folder else stat.S_ISREG
    if not kind(status.st_mode):
        raise CacheUnusableError(f"{path} is no {'folder' if folder else 'regular file'}")
    if sys.platform == "win32":  # where a user's own folder is nobody else's to write
        return
    if status.st_uid != os.geteuid():
        raise CacheUnusableError(f"{path} belongs to another user")
    if status.st_mode & 0o022:
        raise CacheUnusableError(f"others may write to {path}: chmod 700")


def words_of(error: Exception) -> str:
    """Why something of the cache failed, for `problem`."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def free_space(folder: Path) -> int:
    """Bytes that the disk of `folder` has left for this user; OSError."""
    import shutil  # with all that it imports, not for everybody who loads a package

    return shutil.disk_usage(folder).free


def token() -> str:
    """A name that nobody else takes."""
    return os.urandom(6).hex()


def remove(path: Path, looked_at: os.stat_result | None = None) -> None:
    """Remove an entry, or what stands in its place, as far as that goes; links are not followed.

    Nobody finds half of it. looked_at: only if it is still what `lstat` said this of.
    """
    with contextlib.suppress(OSError):
        if looked_at is not None and not os.path.samestat(path.lstat(), looked_at):
            return
        if not path.name.startswith(MAKING):
            path = path.rename(path.with_name(f"{MAKING}gone-{token()}"))
        if path.is_symlink() or not path.is_dir():
            path.unlink()
    import shutil

    # Again where something came into it meanwhile: whoever had found the place under its old name,
    # as a reader does who puts a record there, may put a file here still.
    for _ in range(_REMOVALS):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            break
