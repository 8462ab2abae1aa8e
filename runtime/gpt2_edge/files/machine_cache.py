"""What this machine made of packages, kept for the next time: folders of files, found by a key.

    cache = MachineCache.default()
    entry = cache.entry(package_hash(package), "weights-by-row", {"rows": "32", "cpu": ...})
    stored = entry.open()                       # None: there is none, or it was damaged
    if stored is None and entry.make(write):    # write(folder) puts files there, and nothing else
        stored = entry.open()

The key of an entry is all that decides what is in it: the package's hashes, a kind, and whatever
matters (versions, processor, settings). How one is made and read: cache_entry.py. A folder that
others can write, or a link, is not used at all (cache_folder.py). Entries that were not used for
longest go when all together pass the limit.

Nothing here fails for want of a cache: no room, no right to write and no home folder mean None and
False, and `problem` says why. docs/PACKAGE.md says what somebody who can write here could do.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2_edge.files.cache_entry import Entry, is_entry
from gpt2_edge.files.cache_folder import (
    MAKING,
    CacheUnusableError,
    cache_folder,
    check_private,
    free_space,
    remove,
    words_of,
)
from gpt2_edge.files.cache_record import RECORD, Record, read_record

if TYPE_CHECKING:
    from typing_extensions import Self

    from gpt2_edge.files.package_folder import Package

LIMIT = 4 << 30  # bytes of all entries together
_KEPT_FREE = 512 << 20  # of the disk, that no entry takes
_ABANDONED = 600.0  # seconds after which nobody is still at work in a folder that begins so
_TITLE = 200  # characters of a package's name, which may be of any length


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
                self.folder, self.problem = None, words_of(error)

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
        return [self.folder / name for name in names if is_entry(name)]

    def _remove_abandoned(self, seconds: float) -> None:
        if self.folder is None:
            return
        now = time.time()
        for path in self.folder.glob(f"{MAKING}*"):
            with contextlib.suppress(OSError):
                if now - path.lstat().st_mtime >= seconds:
                    remove(path)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.iterdir())
