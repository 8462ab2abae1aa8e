"""gpt2-edge attend --html and --png: pages and pictures, and the files that they are."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.attending import EXAMPLE, Capture, mistake, output_of
from gpt2_edge import Generator
from gpt2_edge_cli.attending import page as page_module
from gpt2_edge_cli.attending.view import token_texts


@pytest.fixture(scope="module")
def generator(sample_int4: Path) -> Generator:
    return Generator.load(sample_int4)


class Page(HTMLParser):
    """What is in a page: elements with their attributes, and the text of each kind of element."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)


HOSTILE = '</script><img src=x onerror=alert(1)> @@DATA@@ <!-- $& "q" \u2028 😀'


@pytest.mark.parametrize("text", [EXAMPLE, HOSTILE])
def test_a_page_of_all_layers_and_heads(
    capsys: Capture, sample_int4: Path, generator: Generator, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "attention.html"
    output = output_of(capsys, sample_int4, text, "--html", path)
    assert output == f"{path}: {path.stat().st_size / 1000:,.1f} kB\n"
    content = path.read_text("utf-8")
    found = Page(content)
    # Nothing is fetched, by anything: no element names an address, and the policy lets nothing in.
    for tag, attributes in found.elements:
        assert tag not in ("img", "link", "iframe", "object", "embed", "base", "a")
        assert not {"src", "href", "style"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    (policy,) = (
        attributes["content"] or ""
        for tag, attributes in found.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    data, script = found.texts["script"]
    (style,) = found.texts["style"]
    for kind, part in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|@import|url\(", content.replace(data, ""))
    assert data.isascii()
    record = json.loads(data)
    ids = generator.encode(text)
    assert record["texts"] == token_texts(generator, ids)
    assert (record["layers"], record["heads"]) == ([*range(6)], [*range(4)])
    assert record["start"] == len(ids) - 1
    assert_shares_of(record, generator.attention(text))


def assert_shares_of(record: dict[str, Any], weights: np.ndarray) -> None:
    shares = np.frombuffer(base64.b64decode(record["weights"]), "<u2") / 65535
    rows, keys = np.tril_indices(weights.shape[-1])
    np.testing.assert_allclose(shares, weights[:, :, rows, keys].ravel(), atol=1e-5)


def test_a_page_of_one_head(
    capsys: Capture, sample_int4: Path, generator: Generator, tmp_path: Path
) -> None:
    path = tmp_path / "p.html"
    options = ("--layer", 2, "--head", 1, "--word", "it")
    output_of(capsys, sample_int4, EXAMPLE, *options, "--html", path)
    record = json.loads(Page(path.read_text("utf-8")).texts["script"][0])
    assert (record["layers"], record["heads"], record["start"]) == ([2], [1], 8)
    assert_shares_of(record, generator.attention(EXAMPLE)[2:3, 1:2])


def test_a_page_that_would_be_too_large(
    capsys: Capture, sample_int4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "_MOST_WEIGHTS", 1000)
    path = tmp_path / "p.html"
    line = mistake(capsys, sample_int4, EXAMPLE, "--html", path)
    assert "12 tokens have 1,872 weights" in line
    assert not list(tmp_path.iterdir())
    output_of(capsys, sample_int4, EXAMPLE, "--html", path, "--layer", 1)
    assert path.exists()


def test_a_package_keeps_its_files(capsys: Capture, sample_fp32: Path, tmp_path: Path) -> None:
    manifest = sample_fp32 / "manifest.json"
    before = manifest.read_bytes()
    (tmp_path / "link").symlink_to(sample_fp32)
    for path in (manifest, tmp_path / "link" / "manifest.json", sample_fp32 / "page.html"):
        line = mistake(capsys, sample_fp32, EXAMPLE, "--html", path, "--force")
        assert "cannot be written (it is in the package's folder)" in line
    assert manifest.read_bytes() == before
    assert not (sample_fp32 / "page.html").exists()


def test_a_name_of_many_bytes(capsys: Capture, sample_fp32: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{'海' * 80}.html"
    output_of(capsys, sample_fp32, "One", "--html", path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_file_is_replaced_only_where_that_is_asked_for(
    capsys: Capture, sample_int4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notes.html"
    path.write_text("mine", "utf-8")
    line = mistake(capsys, sample_int4, EXAMPLE, "--html", path)
    assert str(path) in line
    assert "--force" in line
    assert path.read_text("utf-8") == "mine"

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        line = mistake(capsys, sample_int4, EXAMPLE, "--html", path, "--force")
    assert "No space left on device" in line
    assert path.read_text("utf-8") == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.html"]
    output = output_of(capsys, sample_int4, EXAMPLE, "--html", path, "--force", "--json")
    assert json.loads(output)["layers"] == 6
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.html"]


def test_a_picture(capsys: Capture, sample_int4: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    path = tmp_path / "attention.png"
    text = "I paid $5 and $6 for 海 😀\n\\frac{1}{2"  # what a formula could be made of
    output = output_of(capsys, sample_int4, text, "--png", path, "--html", tmp_path / "p.html")
    assert [line.split(": ")[0] for line in output.splitlines()] == [
        str(tmp_path / "p.html"),
        str(path),
    ]
    content = path.read_bytes()
    image = imread(io.BytesIO(content), format="png")
    assert image.shape[0] > 500
    assert image.shape[1] > 500
    # A white corner above the diagonal, and something dark in it.
    assert image[..., :3].min() < 0.3
    output_of(capsys, sample_int4, text, "--png", path, "--force", "--layer", 0, "--head", 0)
    assert path.read_bytes() != content


def test_a_picture_without_matplotlib(
    capsys: Capture, sample_int4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    line = mistake(capsys, sample_int4, EXAMPLE, "--png", tmp_path / "p.png")
    assert "pip install '.[plot]'" in line
    assert not list(tmp_path.iterdir())
