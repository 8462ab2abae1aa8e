"""One entry of the machine's cache: whole or not there, and never trusted to be what was written.

An entry is written beside its place, to disk, and renamed, whoever else makes it at the same time.
`open` compares every file with the entry's record, by inode, size and times where these tell,
otherwise by SHA-256, and removes what differs.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gpt2_edge.files.cache_folder import (
    MAKING,
    CacheUnusableError,
    check_private,
    make_private,
    remove,
    token,
    words_of,
)
from gpt2_edge.files.cache_record import RECORD, Record, read_record, write_record
from gpt2_edge.files.file_state import FileState

_USED_AGAIN = 60.0  # seconds after which a use is noted again
_NAME = re.compile(r"[a-z0-9-]{1,40}-[0-9a-f]{32}")


class Room(Protocol):
    """What an entry needs of the cache that it is in: see MachineCache."""

    @property
    def folder(self) -> Path | None: ...

    problem: str | None

    def is_being_made(self, name: str) -> bool: ...

    def make_room(self, size: int, but: Path) -> None: ...


def is_entry(name: str) -> bool:
    """Whether an entry's folder may be called so."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class Stored:
    """A whole entry: its folder, what its record says, and the states of its files."""

    folder: Path
    record: Record
    states: Mapping[str, FileState]

    def is_unchanged(self) -> bool:
        """Whether every file is still what `open` found; to be asked once they were read."""
        return self.record.states_of(self.folder) == self.states


class Entry:
    """One place in `cache`, which may be empty."""

    def __init__(self, cache: Room, key: Record) -> None:
        self._cache, self._key = cache, key
        self.name = f"{key.kind}-{key.digest()[:32]}"
        assert is_entry(self.name)

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
            cache.problem = words_of(error)
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
