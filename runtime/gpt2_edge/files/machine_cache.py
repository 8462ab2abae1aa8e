"""What this machine made of packages, kept for the next time: folders of files, found by a key.

    cache = MachineCache.default()
    entry = cache.entry(package_hash(package), "weights-by-row", {"rows": "32", "cpu": ...})
    stored = entry.open()                       # None: there is none, or it was damaged
    if stored is None and entry.make(write):    # write(folder) puts files there, and nothing else
        stored = entry.open()

The key of an entry is all that decides what is in it: the package's hashes, a kind, and whatever
matters (versions, processor, settings). An entry is written beside its place, to disk, and renamed:
it is whole or not there, whoever else makes it at the same time. What is read from here is never
trusted to be what was written: `open` compares every file with the entry's record, by inode, size
and times where these tell, otherwise by SHA-256, and removes what differs. A folder that others can
write, or a link, is not used at all (cache_folder.py). Entries that were not used for longest go
when all together pass the limit.

Nothing here fails for want of a cache: no room, no right to write and no home folder mean None and
False, and `problem` says why. docs/PACKAGE.md says what somebody who can write here could do.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2_edge.files.cache_folder import (
    MAKING,
    CacheUnusableError,
    cache_folder,
    check_private,
    free_space,
    make_private,
    remove,
    token,
)
from gpt2_edge.files.cache_record import RECORD, Record, read_record, write_record
from gpt2_edge.files.file_state import FileState

if TYPE_CHECKING:
    from typing_extensions import Self

    from gpt2_edge.files.package_folder import Package

LIMIT = 4 << 30  # bytes of all entries together
_KEPT_FREE = 512 << 20  # of the disk, that no entry takes
_ABANDONED = 600.0  # seconds after which nobody is still at work in a folder that begins so
_USED_AGAIN = 60.0  # seconds after which a use is noted again
_TITLE = 200  # characters of a package's name, which may be of any length
_ENTRY_NAME = re.compile(r"[a-z0-9-]{1,40}-[0-9a-f]{32}")


@dataclass(frozen=True)
class Stored:
    """A whole entry: its folder, what its record says, and the states of its files."""

    folder: Path
    record: Record
    states: Mapping[str, FileState]

    def is_unchanged(self) -> bool:
        """Whether every file is still what `open` found; to be asked once they were read."""
        return self.record.states_of(self.folder) == self.states


@dataclass(frozen=True)
class Listed:
    """An entry for people: of which package (its name and hash) and kind, how large, when used."""

    folder: Path
    package: str
    package_hash: str
    kind: str
    bytes: int
    used: float


def package_hash(package: Package) -> str:
    """SHA-256 of what the manifest says of every file of `package`: names, sizes and hashes."""
    digest = hashlib.sha256()
    for name, record in sorted(package.manifest.files.items()):
        digest.update(f"{name}\0{record.bytes}\0{record.sha256}\n".encode())
    return digest.hexdigest()


class MachineCache:
    """The entries in `folder`; None: there is no cache, and `problem` says why."""

    def __init__(self, folder: Path | None, limit: int = LIMIT, problem: str | None = None) -> None:
        self.folder, self.limit, self.problem = folder, limit, problem
        if folder is not None:
            try:
                check_private(folder)
            except FileNotFoundError:
                pass  # it is made with the first entry
            except (CacheUnusableError, OSError, ValueError) as error:
                self.folder, self.problem = None, _words(error)

    @classmethod
    def default(cls) -> Self:
        """The one of this user: see `cache_folder`."""
        try:
            folder = cache_folder()
            return cls(folder, problem="switched off" if folder is None else None)
        except CacheUnusableError as error:
            return cls(None, problem=str(error))

    @classmethod
    def off(cls) -> Self:
        """None at all."""
        return cls(None, problem="switched off")

    def entry(self, package: str, kind: str, matters: Mapping[str, str], title: str = "") -> Entry:
        """The entry of the package with this hash (`package_hash`); it need not be there.

        kind: small letters, digits and dashes. matters: whatever else changes what is made. title:
        the package's name, for lists; it is no part of the key.
        """
        return Entry(self, Record(package, kind, dict(matters), title[:_TITLE]))

    def entries(self) -> list[Listed]:
        """All that is there, last used first."""
        found = []
        for folder in self._folders():
            with contextlib.suppress(CacheUnusableError, OSError):
                record = read_record(folder)
                used = (folder / RECORD).lstat().st_mtime
                found.append(
                    Listed(folder, record.title, record.package, record.kind, _size(folder), used)
                )
        return sorted(found, key=lambda entry: entry.used, reverse=True)

    def clear(self, package: str | None = None) -> int:
        """Remove all entries, or those of the package with this hash; how many."""
        removed = 0
        for folder in self._folders():
            if package is not None:
                try:
                    if read_record(folder).package != package:
                        continue
                except (CacheUnusableError, OSError):
                    continue
            remove(folder)
            removed += 1
        self._remove_abandoned(0 if package is None else _ABANDONED)
        return removed

    def make_room(self, size: int, but: Path) -> None:
        """Remove what was not used for longest, until `size` more bytes are within the limit.

        Raises CacheUnusableError where they never are, or where the disk has no room.
        """
        assert self.folder is not None
        self._remove_abandoned(_ABANDONED)
        entries = [entry for entry in self.entries() if entry.folder != but]
        total = sum(entry.bytes for entry in entries)
        while entries and total + size > self.limit:
            last = entries.pop()
            remove(last.folder)
            total -= last.bytes
        if size > self.limit or free_space(self.folder) < size + _KEPT_FREE:
            raise CacheUnusableError(f"{self.folder} has no room for {size / 1e6:,.0f} MB")

    def is_being_made(self, name: str) -> bool:
        """Whether somebody has begun the entry `name`, not long ago."""
        assert self.folder is not None
        now = time.time()
        return any(
            now - path.lstat().st_mtime < _ABANDONED
            for path in self.folder.glob(f"{MAKING}{name}-*")
        )

    def _folders(self) -> list[Path]:
        if self.folder is None:
            return []
        try:
            names = sorted(os.listdir(self.folder))  # noqa: PTH208 - errors come at once
        except OSError:
            return []
        return [self.folder / name for name in names if _ENTRY_NAME.fullmatch(name)]

    def _remove_abandoned(self, seconds: float) -> None:
        if self.folder is None:
            return
        now = time.time()
        for path in self.folder.glob(f"{MAKING}*"):
            with contextlib.suppress(OSError):
                if now - path.lstat().st_mtime >= seconds:
                    remove(path)


class Entry:
    """One place in `cache`, which may be empty."""

    def __init__(self, cache: MachineCache, key: Record) -> None:
        self._cache, self._key = cache, key
        self.name = f"{key.kind}-{key.digest()[:32]}"
        assert _ENTRY_NAME.fullmatch(self.name)

    def open(self, hashes: bool = False) -> Stored | None:
        """What is there, every file being what its record says; None where nothing is.

        hashes: compare the SHA-256 of the files even where inode, size and times are as they were.
        Another process may remove or replace it at any time: what reads the files has to be ready
        for their not being there, and to ask `is_unchanged` behind it.
        """
        if self._cache.folder is None:
            return None
        folder = self._cache.folder / self.name
        try:
            looked_at = folder.lstat()
            check_private(folder)
            record = read_record(folder)
            if record.key() != self._key.key():
                raise CacheUnusableError("the record is of another entry")
            states = record.states_of(folder)
            checked = record.checked(folder, hashes)
        except CacheUnusableError:
            remove(folder, looked_at)
            return None
        except OSError:  # there is none, or it cannot be read now
            return None
        with contextlib.suppress(OSError):
            if checked != record:
                write_record(folder, checked)
            elif time.time() - (folder / RECORD).lstat().st_mtime > _USED_AGAIN:
                os.utime(folder / RECORD)
        return Stored(folder, checked, states)

    def make(self, write: Callable[[Path], None], size: int = 0, insist: bool = False) -> bool:
        """Have `write` put the entry's files into the empty folder that it is given.

        Nothing is made, and False returned, where there is no cache, its disk is full or read-only,
        or (without `insist`) another process is at it. size: bytes to expect, or a little more.
        True: the entry is there, whoever made it. What `write` raises other than OSError is raised.
        """
        cache = self._cache
        if cache.folder is None:
            return False
        making: Path | None = None
        try:
            make_private(cache.folder)
            place = cache.folder / self.name
            if not insist and cache.is_being_made(self.name):
                return False
            cache.make_room(size, but=place)
            making = cache.folder / f"{MAKING}{self.name}-{token()}"
            making.mkdir(0o700)
            write(making)
            record = self._key.of_files(making)
            if record.bytes > size:
                cache.make_room(record.bytes, but=place)
            write_record(making, record)
            self._put(making, place, insist)
            return True
        except (CacheUnusableError, OSError) as error:
            cache.problem = _words(error)
            return False
        finally:
            if making is not None:
                remove(making)

    def remove(self) -> None:
        """Empty the place."""
        if self._cache.folder is not None:
            remove(self._cache.folder / self.name)

    def _put(self, making: Path, place: Path, insist: bool) -> None:
        """Rename `making` to `place`, unless another process has been there (or even so)."""
        for _ in range(3):
            try:
                making.rename(place)
            except OSError:
                if not os.path.lexists(place):
                    raise
                if not insist and self.open() is not None:
                    return
                remove(place)  # whoever has its files open keeps them
            else:
                return
        raise CacheUnusableError(f"{place} is in use")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.iterdir())


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
