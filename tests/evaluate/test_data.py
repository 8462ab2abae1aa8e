"""Files that cannot be read are refused in one line that names file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2_edge.errors import EvaluationError, GPT2EdgeError
from gpt2_edge.evaluate import TASKS, prepare
from gpt2_edge.evaluate.data import read_jsonl, read_text
from helpers import assert_one_line


def test_a_byte_order_mark_is_dropped_and_line_ends_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes("\ufeffone\r\ntwo\n".encode())
    assert read_text(path) == "one\r\ntwo\n"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        ("text".encode("utf-16"), "is not UTF-8 text"),
    ],
    ids=["missing", "empty", "blank", "utf-16"],
)
def test_a_file_that_cannot_be_read(
    tmp_path: Path, task: str, content: bytes | None, expected: str
) -> None:
    path = tmp_path / "data"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EvaluationError) as caught:
        prepare(task, path)
    assert_one_line(caught.value, path, expected)


def test_a_folder_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError) as caught:
        prepare("lambada", tmp_path)
    assert_one_line(caught.value, tmp_path, "Is a directory")


def test_lines_of_jsonl_end_at_a_line_feed_only(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text('{"text": "one\u2028two\x85"}\r\n\n{"text": "three"}', "utf-8", newline="")
    records = list(read_jsonl(path))
    assert [(record.line, record.text("text")) for record in records] == [
        (1, "one\u2028two\x85"),
        (3, "three"),
    ]
    assert [record.line for record in read_jsonl(path, limit=1)] == [1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('"text"', "is not a JSON object"),
    ],
    ids=["broken", "deep", "list", "string"],
)
def test_a_line_that_is_no_object(tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "data"
    path.write_text('{"text": "two words"}\n\n' + line + "\n", "utf-8")
    with pytest.raises(EvaluationError) as caught:
        prepare("lambada", path)
    assert_one_line(caught.value, f"{path}, line 3", expected)


@pytest.mark.parametrize(
    ("task", "settings", "expected"),
    [
        ("squad", {}, "no task 'squad'; the tasks are lambada, wikitext2, winograd, cbt, choice"),
        ("lambada", {"limit": 0}, "limit is 0"),
        ("wikitext2", {"limit": -1}, "limit is -1"),
        ("lambada", {"window": 8}, "lambada takes no window"),
        ("choice", {"stride": 8}, "choice takes no window"),
    ],
)
def test_a_setting_out_of_range(
    tmp_path: Path, task: str, settings: dict[str, int], expected: str
) -> None:
    path = tmp_path / "data"
    path.write_text('{"text": "two words"}\n', "utf-8")
    with pytest.raises(GPT2EdgeError) as caught:
        prepare(task, path, **settings)
    assert_one_line(caught.value, expected)
