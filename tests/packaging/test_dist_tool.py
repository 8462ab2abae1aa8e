"""tools/dist.py: what it compares and refuses. `make dist` runs all of it."""

from __future__ import annotations

import io
import runpy
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "dist.py"
EPOCH = 1_700_000_000


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(TOOL))


def write_sdist(file: Path, names: list[str], time: int, owner: str) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.uname, entry.uid = len(name), time, owner, time % 7
            archive.addfile(entry, io.BytesIO(name.encode()))
    return file


def test_sdists_of_two_builds_become_the_same(tool: dict[str, Any], tmp_path: Path) -> None:
    names = ["gpt2_edge-0.1.0/b.py", "gpt2_edge-0.1.0/a.py", "gpt2_edge-0.1.0/PKG-INFO"]
    one = write_sdist(tmp_path / "one.tar.gz", names, 1, "me")
    other = write_sdist(tmp_path / "other.tar.gz", names[::-1], 2, "you")
    with pytest.raises(tool["DistError"], match="times, rights or order"):
        tool["require_same"](one, other)
    for sdist in (one, other):
        tool["settle"](sdist, EPOCH)
    tool["require_same"](one, other)
    assert tool["contents_of"](one) == {name: name.encode() for name in names}
    with tarfile.open(one) as archive:
        assert {(entry.mtime, entry.uname, entry.uid) for entry in archive} == {(EPOCH, "", 0)}


def test_what_differs_is_named(tool: dict[str, Any], tmp_path: Path) -> None:
    for name, text in (("one.whl", "1"), ("other.whl", "2")):
        with zipfile.ZipFile(tmp_path / name, "w") as wheel:
            wheel.writestr("gpt2_edge/same.py", "same")
            wheel.writestr("gpt2_edge/changed.py", text)
            wheel.writestr(f"gpt2_edge/only_{text}.py", "")
    expected = r"gpt2_edge/changed\.py, gpt2_edge/only_1\.py, gpt2_edge/only_2\.py"
    with pytest.raises(tool["DistError"], match=expected):
        tool["require_same"](tmp_path / "one.whl", tmp_path / "other.whl")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg">', []),
        ('<script src="app.js">', []),
        ('<img src="//cdn.example.org/x.png">', ['"//cdn.example.org/x.png']),
        ("@import url(https://fonts.example.org/a.css)", ["https://fonts.example.org/a.css"]),
        ('new WebSocket("wss://example.org/x")', ["wss://example.org/x"]),
    ],
)
def test_addresses_of_other_hosts(tool: dict[str, Any], text: str, found: list[str]) -> None:
    assert tool["outside"](text) == found


def test_the_page_of_this_checkout_asks_nobody_else(tool: dict[str, Any]) -> None:
    files = [path for path in tool["page_files"]() if path.suffix in (".js", ".css", ".html")]
    assert len(files) > 20
    assert {path.name: tool["outside"](path.read_text("utf-8")) for path in files} == {
        path.name: [] for path in files
    }
