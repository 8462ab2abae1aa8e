"""The texts to calibrate and to measure on, and what is wrong with others."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byte_model import VOCABULARY, write_byte_checkpoint
from gpt2_edge.errors import ExportError
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.texts import CALIBRATION_TEXT, REPORT_TEXT, Text, read_text
from helpers import assert_one_line


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_checkpoint(tmp_path_factory.mktemp("bytes") / "model")


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> Tokenizer:
    return Tokenizer(checkpoint / "tokenizer.json")


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no tokens"),
    "too short": (b"It was a dark night.", "only 20 tokens"),
    "one token too few": (b"x" * 255, "only 255 tokens"),
    "Latin-1": ("déjà vu ".encode("latin-1") * 200, "byte 1 is not UTF-8"),
    "UTF-16": (("night " * 200).encode("utf-16"), "byte 0 is not UTF-8"),
    "cut within a character": (b"night " * 100 + "é".encode()[:1], "byte 600 is not UTF-8"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_text_is_named_in_one_line(tokenizer: Tokenizer, tmp_path: Path, kind: str) -> None:
    content, expected = BAD[kind]
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(ExportError) as caught:
        read_text(path, tokenizer, VOCABULARY, 256)
    assert_one_line(caught.value, path, expected)


def test_a_text_that_is_not_there(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.txt", tmp_path):
        with pytest.raises(ExportError) as caught:
            read_text(path, tokenizer, VOCABULARY, 1)
        assert_one_line(caught.value, path, "cannot be read")


def test_a_text_that_may_not_be_read(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("x" * 500, "utf-8")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads everything")
    with pytest.raises(ExportError) as caught:
        read_text(path, tokenizer, VOCABULARY, 1)
    assert_one_line(caught.value, path, "Permission denied")


def test_a_text_is_its_tokens_and_the_hash_of_its_bytes(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    content = "Größe\n".encode() * 50
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    text = read_text(path, tokenizer, VOCABULARY, len(content))
    assert text.name == "text.txt"
    assert text.sha256 == hashlib.sha256(content).hexdigest()
    assert tokenizer.decode(list(text.ids)) == content.decode()


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_and_bom_change_nothing(
    tokenizer: Tokenizer, tmp_path: Path, prefix: bytes, end: bytes
) -> None:
    """As in score and eval, which read texts by the same function."""
    plain, other = tmp_path / "plain.txt", tmp_path / "other.txt"
    plain.write_bytes("Größe\nnight\n".encode() * 9)
    other.write_bytes(prefix + ("Größe".encode() + end + b"night" + end) * 9)
    expected, found = (read_text(path, tokenizer, VOCABULARY, 1) for path in (plain, other))
    assert found.ids == expected.ids
    assert found.sha256 == expected.sha256 == hashlib.sha256(plain.read_bytes()).hexdigest()


def test_a_text_may_come_through_a_pipe(tokenizer: Tokenizer) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"night " * 50)
    os.close(writing)
    try:
        text = read_text(Path(f"/dev/fd/{reading}"), tokenizer, VOCABULARY, 300)
    finally:
        os.close(reading)
    assert len(text.ids) == 300


def test_tokens_that_the_model_lacks_are_left_out(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abcé" * 100, "utf-8")
    limit = max(tokenizer.encode("abc")) + 1
    text = read_text(path, tokenizer, limit, 300)
    assert text.ids == tuple(tokenizer.encode("abc" * 100))
    with pytest.raises(ExportError) as caught:
        read_text(path, tokenizer, limit, 301)
    assert_one_line(caught.value, "only 300 tokens")


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=60),
    st.integers(1, 70),
    st.none() | st.integers(1, 80),
)
def test_windows_are_the_beginning_in_order(ids: list[int], size: int, limit: int | None) -> None:
    windows = Text("text", "", tuple(ids)).windows(size, limit)
    used = ids[:limit]
    assert windows.dtype == np.int64
    assert windows.shape[1] == min(size, len(used))
    assert windows.ravel().tolist() == used[: windows.size]
    assert len(used) - windows.size < size  # no whole window is left over


def test_the_texts_that_ship_are_enough_and_apart(sample_checkpoint: Path) -> None:
    tokenizer = Tokenizer(sample_checkpoint / "tokenizer.json")
    report = read_text(REPORT_TEXT, tokenizer, 8192, 20_480)
    calibration = read_text(CALIBRATION_TEXT, tokenizer, 8192, 8192)
    # What is measured was not calibrated on: they share no dozen tokens in a row, if not by chance.
    seen = {calibration.ids[i : i + 12] for i in range(len(calibration.ids) - 11)}
    shared = sum(report.ids[i : i + 12] in seen for i in range(len(report.ids) - 11))
    assert shared <= 5


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"calibration": "short.txt"}, ["short.txt", "1,024"]),
        ({"report_text": "short.txt"}, ["short.txt", "256"]),
        ({"calibration": "nothing.txt"}, ["nothing.txt", "cannot be read"]),
        ({"report_text": "nothing.txt"}, ["nothing.txt", "cannot be read"]),
        ({"calibration": "short.txt", "tokenizer": False}, ["short.txt", "--tokenizer"]),
        ({"report_text": "short.txt", "tokenizer": False}, ["short.txt", "--tokenizer"]),
        ({"max_kl": 0.1, "calibration": "nothing.txt"}, ["nothing.txt"]),
        ({"max_kl": 0.1, "tokenizer": False}, ["--max-kl", "tokenizer"]),
        ({"max_kl": 0.1, "report": False}, ["--max-kl", "report"]),
        ({"max_megabytes": 1.0, "calibration": False}, ["--max-size", "calibration"]),
        ({"recipe": "fp32", "report_text": "nothing.txt"}, ["nothing.txt"]),
    ],
    ids=str,
)
def test_an_export_with_a_bad_text_leaves_nothing(
    checkpoint: Path, tmp_path: Path, options: dict[str, object], parts: list[str]
) -> None:
    (tmp_path / "short.txt").write_text("x" * 200, "utf-8")
    room = tmp_path / "room"
    room.mkdir()
    given = {
        key: tmp_path / value if isinstance(value, str) and value.endswith(".txt") else value
        for key, value in options.items()
    }
    with pytest.raises(ExportError) as caught:
        export_package(checkpoint, room / "package", ExportOptions(**given))  # type: ignore[arg-type]
    assert_one_line(caught.value, *parts)
    assert list(room.iterdir()) == []


def test_texts_of_ones_own_are_used(checkpoint: Path, tmp_path: Path) -> None:
    calibration, report = tmp_path / "calibration.txt", tmp_path / "mine.txt"
    calibration.write_text(" ".join(map(str, range(700))), "utf-8")
    report.write_text("the rain in Spain " * 30, "utf-8")
    quality, weights = [], []
    for number, text in enumerate((calibration, None)):
        options = ExportOptions(calibration=text, report_text=report)
        package = export_package(checkpoint, tmp_path / str(number), options).package
        quality.append(package.manifest.quality)
        weights.append((package.folder / "model.onnx").read_bytes())
    assert quality[0] is not None
    assert quality[0]["text"] == "mine.txt"
    assert quality[0]["text_sha256"] == hashlib.sha256(report.read_bytes()).hexdigest()
    assert quality[0]["tokens"] == 540
    assert weights[0] != weights[1]  # another text to calibrate on, other weights


def test_without_a_tokenizer_a_note_says_that_nothing_was_calibrated(
    checkpoint: Path, tmp_path: Path
) -> None:
    report = export_package(checkpoint, tmp_path / "package", ExportOptions(tokenizer=False))
    assert len(report.notes) == 1
    assert "rounded to nearest" in report.notes[0]
    assert report.package.manifest.quality is None
