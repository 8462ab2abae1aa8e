"""What an entry of the machine's cache says of itself, and whether its files are still that."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpt2_edge.files.cache_folder import MAKING, CacheUnusableError, check_private, token
from gpt2_edge.files.file_state import FileState, file_state, is_settled
from gpt2_edge.files.package_folder import sha256_of
from gpt2_edge.untrusted import UnreadableError, parse_json, read_bytes

RECORD = "entry.json"
_FORMAT = 1  # of the record, and part of every key
_LARGEST = 1 << 20
_MOST_FILES = 64


@dataclass(frozen=True)
class CachedFile:
    """Size and SHA-256 (hexadecimal) of a file when it was made."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """The key of an entry (package, kind, matters), its title, and its files.

    states: of each file, what the system said of it when its hash was compared, if by that a later
    writer can be told.
    """

    package: str
    kind: str
    matters: dict[str, str]
    title: str
    files: dict[str, CachedFile] = field(default_factory=dict)
    states: dict[str, FileState] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())

    def key(self) -> tuple[str, str, dict[str, str]]:
        """What the entry was asked for by."""
        return self.package, self.kind, self.matters

    def digest(self) -> str:
        """SHA-256 of the key."""
        text = json.dumps([_FORMAT, *self.key()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def of_files(self, folder: Path) -> Record:
        """The same with what lies in `folder`, which is brought to disk. Raises OSError.

        Nobody but this process knows the folder yet, so there is no other writer to be told.
        """
        files, states = {}, {}
        for path in sorted(folder.iterdir()):
            path.chmod(0o600)
            _to_disk(path)
            states[path.name] = file_state(path)
            files[path.name] = CachedFile(path.stat().st_size, sha256_of(path))
        return dataclasses.replace(self, files=files, states=states)

    def states_of(self, folder: Path) -> dict[str, FileState]:
        """What the system says of each file now."""
        return {name: file_state(folder / name) for name in self.files}

    def checked(self, folder: Path, hashes: bool) -> Record:
        """The same, every file being as it says, with the states that tell later writers.

        hashes: compare them even where the states are the same. Raises CacheUnusableError and
        OSError.
        """
        if {*self.files, RECORD} != set(os.listdir(folder)):  # noqa: PTH208
            raise CacheUnusableError(f"{folder} has other files than its record says")
        states = self.states_of(folder)
        settled: dict[str, bool] = {}
        for name, file in self.files.items():
            path = folder / name
            check_private(path, folder=False)
            if path.stat().st_size != file.bytes:
                raise CacheUnusableError(f"{path} has another size than its record says")
            if hashes or states[name] != self.states.get(name):
                settled[name] = is_settled(states[name])
                if sha256_of(path) != file.sha256:
                    raise CacheUnusableError(f"{path} is damaged")
        kept = {name: state for name, state in states.items() if settled.get(name, True)}
        return dataclasses.replace(self, states=kept)


def read_record(folder: Path) -> Record:
    """The record of the entry in `folder`. Raises CacheUnusableError for whatever is none."""
    path = folder / RECORD
    try:
        check_private(path, folder=False)
        return _record(parse_json(read_bytes(path, _LARGEST)))
    except (OSError, UnreadableError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CacheUnusableError(f"{path} is no record of an entry") from error


def write_record(folder: Path, record: Record) -> None:
    """Put the record into the entry in `folder`, whole or not at all. Raises OSError."""
    value = dataclasses.asdict(record) | {"format": _FORMAT}
    # Beside the entry: a reader takes no other files in it than the record says.
    new = folder.with_name(f"{MAKING}record-{token()}")
    try:
        new.write_text(json.dumps(value), "utf-8")
        new.chmod(0o600)
        _to_disk(new)
        new.replace(folder / RECORD)
    finally:
        new.unlink(missing_ok=True)
    if os.name == "posix":
        _to_disk(folder)


def _record(value: Any) -> Record:
    if value["format"] != _FORMAT or len(value["files"]) > _MOST_FILES:
        raise ValueError
    texts = {key: value[key] for key in ("package", "kind", "title")}
    matters, files, states = value["matters"], value["files"], value["states"]
    for text in (*texts.values(), *matters, *matters.values(), *files):
        if not isinstance(text, str):
            raise TypeError
    if any(name in ("", ".", "..", RECORD) or "/" in name or "\\" in name for name in files):
        raise ValueError
    return Record(
        **texts,
        matters=matters,
        files={name: CachedFile(int(file["bytes"]), str(file["sha256"]))
               for name, file in files.items()},
        states={name: tuple(int(number) for number in state) for name, state in states.items()},
    )  # fmt: skip


def _to_disk(path: Path) -> None:
    """Wait until what was written to `path` would survive the power's end."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
