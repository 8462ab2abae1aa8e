"""A Git LFS pointer is called by its name, whatever file it stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.untrusted import (
    UnreadableError,
    peek,
    read_bytes,
    read_json_object,
    read_text_file,
)

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:7cb1\nsize 548105171\n"
READERS: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda path: read_bytes(path, 1 << 20),
    "JSON": read_json_object,
    "text": read_text_file,
    "the beginning": lambda path: peek(path, 8),
}


@pytest.mark.parametrize("reader", READERS)
def test_pointer_is_refused(tmp_path: Path, reader: str) -> None:
    (tmp_path / "file").write_bytes(POINTER)
    with pytest.raises(UnreadableError, match="is a Git LFS pointer, not the file itself: git lfs"):
        READERS[reader](tmp_path / "file")


def test_text_about_pointers_is_text(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"It begins with: " + POINTER)
    assert "git-lfs" in read_text_file(tmp_path / "file")


@pytest.mark.parametrize("count", [0, 8, 64])
def test_beginning_and_size(tmp_path: Path, count: int) -> None:
    content = bytes(range(100))
    (tmp_path / "file").write_bytes(content)
    assert peek(tmp_path / "file", count) == (content[:count], 100)


def test_beginning_of_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no regular file"):
        peek(tmp_path)
    with pytest.raises(FileNotFoundError):
        peek(tmp_path / "nothing")
    with pytest.raises(UnreadableError):
        peek(tmp_path / "a\0b")
