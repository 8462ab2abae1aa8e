"""The machine's cache: what is found again, what is not trusted, and what goes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.files import machine_cache
from gpt2_edge.files.cache_entry import Entry, Stored
from gpt2_edge.files.cache_folder import MAKING, CacheUnusableError, cache_folder
from gpt2_edge.files.cache_record import RECORD
from gpt2_edge.files.machine_cache import MachineCache

posix = pytest.mark.skipif(os.name != "posix", reason="modes and links as POSIX has them")
PACKAGE = "ab" * 32


@pytest.fixture
def cache(tmp_path: Path) -> MachineCache:
    return MachineCache(tmp_path / "cache")


def writer(content: bytes = b"weights") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "weights.bin").write_bytes(content)

    return write


def an_entry(cache: MachineCache, **matters: str) -> Entry:
    return cache.entry(PACKAGE, "rows", {"rows": "8"} | matters, "sample")


def opened(entry: Entry, hashes: bool = False) -> Stored:
    stored = entry.open(hashes)
    assert stored is not None
    return stored


def content(stored: Stored) -> bytes:
    return (stored.folder / "weights.bin").read_bytes()


def test_what_was_made_is_found_by_its_key_and_by_no_other(cache: MachineCache) -> None:
    entry = an_entry(cache)
    assert entry.open() is None
    assert entry.make(writer(), 100)
    assert content(opened(an_entry(MachineCache(cache.folder)))) == b"weights"
    assert an_entry(cache, rows="9").open() is None
    assert an_entry(cache, more="").open() is None
    assert cache.entry(PACKAGE, "other", {"rows": "8"}).open() is None
    assert cache.entry("cd" * 32, "rows", {"rows": "8"}).open() is None


def test_it_is_listed_and_cleared(cache: MachineCache) -> None:
    assert an_entry(cache).make(writer())
    assert cache.entry("cd" * 32, "rows", {}, "other").make(writer(b"x" * 5000))
    listed = {entry.package: entry for entry in cache.entries()}
    assert set(listed) == {"sample", "other"}
    assert listed["other"].bytes > 5000 > listed["sample"].bytes
    assert cache.clear(PACKAGE) == 1
    assert [entry.package for entry in cache.entries()] == ["other"]
    assert cache.clear() == 1
    assert cache.folder is not None
    assert not list(cache.folder.iterdir())


@posix
def test_only_its_user_can_look_into_it(cache: MachineCache) -> None:
    previous = os.umask(0)
    try:
        assert an_entry(cache).make(writer())
    finally:
        os.umask(previous)
    stored = opened(an_entry(cache))
    assert stored.folder.stat().st_mode & 0o777 == 0o700
    assert stored.folder.parent.stat().st_mode & 0o777 == 0o700
    for path in stored.folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def change_content(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"Weights")


def cut(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"weight")


def lose_file(folder: Path) -> None:
    (folder / "weights.bin").unlink()


def add_file(folder: Path) -> None:
    (folder / "more.bin").write_bytes(b"")


def lose_record(folder: Path) -> None:
    (folder / RECORD).unlink()


def cut_record(folder: Path) -> None:
    path = folder / RECORD
    path.write_bytes(path.read_bytes()[:-9])


def link(folder: Path) -> None:
    (folder / "weights.bin").rename(folder.parent / "elsewhere")
    (folder / "weights.bin").symlink_to(folder.parent / "elsewhere")


def let_others_write(folder: Path) -> None:
    (folder / "weights.bin").chmod(0o666)


def of_another_key(folder: Path) -> None:
    change_record(folder, lambda record: record["matters"].update(rows="16"))


def name_a_path(folder: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["files"]["../weights.bin"] = record["files"].pop("weights.bin")

    change_record(folder, change)


def no_record(folder: Path) -> None:
    change_record(folder, lambda record: record.update(files=[1], states=7))


def change_record(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads((folder / RECORD).read_text())
    change(record)
    (folder / RECORD).write_text(json.dumps(record))


DAMAGES = (change_content, cut, lose_file, add_file, lose_record, cut_record, of_another_key)
ODD_RECORDS = (name_a_path, no_record)
POSIX_DAMAGES = (pytest.param(damage, marks=posix) for damage in (link, let_others_write))


@pytest.mark.parametrize("damage", [*DAMAGES, *ODD_RECORDS, *POSIX_DAMAGES])
def test_a_damaged_entry_is_not_there_and_is_made_anew(
    cache: MachineCache, damage: Callable[[Path], None]
) -> None:
    entry = an_entry(cache)
    assert entry.make(writer())
    time.sleep(0.05)  # file systems note times in steps, most of them of a few milliseconds
    damage(opened(entry).folder)
    assert entry.open() is None
    assert entry.make(writer())
    assert content(opened(entry, hashes=True)) == b"weights"


@posix
def test_a_copy_is_told_by_its_hashes_once(
    cache: MachineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt2_edge.files.file_state._STEP", -(1 << 60))  # nothing is too young
    entry = an_entry(cache)
    assert entry.make(writer())
    path = opened(entry).folder / "weights.bin"
    path.write_bytes(path.read_bytes())  # the same content at another time
    assert content(opened(entry)) == b"weights"
    # From now on inode, size and times tell.
    monkeypatch.setattr("gpt2_edge.files.cache_record.sha256_of", lambda _: "another")
    assert content(opened(entry)) == b"weights"
    assert entry.open(hashes=True) is None


@posix
def test_what_was_written_just_now_is_told_by_its_hashes(
    cache: MachineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt2_edge.files.file_state._STEP", 1 << 60)  # everything is too young
    entry = an_entry(cache)
    assert entry.make(writer())
    assert opened(entry).record.states  # nobody else knew the folder
    os.utime(opened(entry).folder / "weights.bin", ns=(1, 1))
    assert opened(entry).record.states == {}
    monkeypatch.setattr("gpt2_edge.files.cache_record.sha256_of", lambda _: "another")
    assert entry.open() is None


def test_what_changes_while_it_is_used_is_noticed(cache: MachineCache) -> None:
    entry = an_entry(cache)
    assert entry.make(writer())
    stored = opened(entry)
    assert stored.is_unchanged()
    change_content(stored.folder)
    os.utime(stored.folder / "weights.bin", ns=(1, 1))
    assert not stored.is_unchanged()


@pytest.mark.parametrize("where", ["cache", "entry"])
@posix
def test_links_and_what_others_can_write_are_not_used(tmp_path: Path, where: str) -> None:
    cache = MachineCache(tmp_path / "cache")
    assert an_entry(cache).make(writer())
    assert cache.folder is not None
    folder = cache.folder if where == "cache" else opened(an_entry(cache)).folder
    moved = folder.rename(tmp_path / "moved")
    folder.symlink_to(moved)
    again = MachineCache(cache.folder)
    assert an_entry(again).open() is None
    assert (moved / RECORD).exists() or where == "cache"  # nothing behind the link was touched
    if where == "cache":
        assert "is a link" in str(again.problem)
        assert not an_entry(again).make(writer())
        folder.unlink()
        moved.rename(folder).chmod(0o777)
        again = MachineCache(folder)
        assert "others may write" in str(again.problem)
        assert an_entry(again).open() is None


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give away")
def test_another_users_folder_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert an_entry(MachineCache(folder)).make(writer())
    os.chown(folder, 12345, 12345)
    cache = MachineCache(folder)
    assert "another user" in str(cache.problem)
    assert an_entry(cache).open() is None


def test_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    cache = MachineCache(tmp_path / "cache", limit=10_000)
    for number in range(3):
        entry = an_entry(cache, number=str(number))
        assert entry.make(writer(b"x" * 2500))
        os.utime(opened(entry).folder / RECORD, (1000 + number, 1000 + number))
    assert an_entry(cache, number="0").open() is not None  # which is a use
    assert an_entry(cache, number="3").make(writer(b"x" * 2500))
    there = [an_entry(cache, number=str(n)).open() is not None for n in range(4)]
    assert there == [True, False, True, True]
    assert not an_entry(cache, number="4").make(writer(b"x" * 20_000))
    assert not an_entry(cache, number="5").make(writer(), size=20_000)
    assert "room" in str(cache.problem)


def test_a_full_disk_and_a_failing_one_mean_working_without(
    cache: MachineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        (folder / "weights.bin").write_bytes(b"wei")
        raise OSError(28, "No space left on device")

    assert not an_entry(cache).make(full)
    assert cache.problem == "No space left on device"
    assert cache.folder is not None
    assert not list(cache.folder.iterdir())
    monkeypatch.setattr(machine_cache, "_KEPT_FREE", 1 << 60)
    assert not an_entry(cache).make(writer())


def test_a_place_that_takes_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = MachineCache(tmp_path / "file" / "cache")
    assert an_entry(cache).open() is None
    assert not an_entry(cache).make(writer())
    assert cache.problem
    assert cache.entries() == []
    assert cache.clear() == 0


def test_a_name_of_any_length(cache: MachineCache) -> None:
    entry = cache.entry(PACKAGE, "rows", {}, "n" * (2 << 20))
    assert entry.make(writer())
    assert entry.open() is not None


def test_what_fails_for_another_reason_is_told(cache: MachineCache) -> None:
    def fail(folder: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        an_entry(cache).make(fail)
    assert cache.folder is not None
    assert not list(cache.folder.iterdir())


def test_who_comes_second_leaves_it_to_the_first(cache: MachineCache) -> None:
    begun, end = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        begun.set()
        assert end.wait(60)
        writer()(folder)

    thread = threading.Thread(target=lambda: an_entry(cache).make(slow))
    thread.start()
    assert begun.wait(60)
    assert not an_entry(cache).make(writer(b"second"))
    assert an_entry(cache).make(writer(b"insisted"), insist=True)
    end.set()
    thread.join()
    assert content(opened(an_entry(cache))) == b"insisted"


def test_what_a_killed_process_left_goes(cache: MachineCache) -> None:
    assert cache.folder is not None
    cache.folder.mkdir(0o700)
    left = cache.folder / f"{MAKING}{an_entry(cache).name}-12345678"
    left.mkdir()
    assert not an_entry(cache).make(writer())
    long_ago = time.time() - 3600
    os.utime(left, (long_ago, long_ago))
    assert an_entry(cache).make(writer())
    assert not left.exists()


def _make_and_open(folder: Path, number: int) -> bool:
    entry = an_entry(MachineCache(folder))
    entry.make(writer(bytes([number]) * 100_000), insist=number % 2 == 0)
    stored = entry.open(hashes=True)
    try:
        return stored is None or len(set(content(stored))) == 1
    except FileNotFoundError:  # another process has put its own in this one's place
        return True


def test_processes_that_make_it_at_once_find_it_whole(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        assert all(pool.starmap(_make_and_open, [(folder, number) for number in range(1, 25)]))
    assert an_entry(MachineCache(folder)).make(writer())
    assert an_entry(MachineCache(folder)).open(hashes=True) is not None
    assert not list(folder.glob(f"{MAKING}*"))


def test_what_comes_into_an_entry_while_it_is_removed_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = an_entry(MachineCache(tmp_path / "cache"))
    assert entry.make(writer())
    removed = shutil.rmtree

    def while_a_reader_writes(path: Path, **settings: bool) -> None:
        # rmtree has its list of the files when a reader's record comes
        monkeypatch.setattr(shutil, "rmtree", removed)
        with monkeypatch.context() as listed:
            listed.setattr(os, "rmdir", lambda *_, **__: (path / RECORD).touch())
            removed(path, **settings)

    monkeypatch.setattr(shutil, "rmtree", while_a_reader_writes)
    entry.remove()
    assert not list((tmp_path / "cache").iterdir())


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GPT2_EDGE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("GPT2_EDGE_CACHE", "")
    assert cache_folder() is None
    assert MachineCache.default().problem == "switched off"
    monkeypatch.setenv("GPT2_EDGE_CACHE", "relative")
    with pytest.raises(CacheUnusableError, match="no absolute path"):
        cache_folder()
    assert MachineCache.default().folder is None
    monkeypatch.delenv("GPT2_EDGE_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "gpt2-edge"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "gpt2-edge"
