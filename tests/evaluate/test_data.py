"""Files that cannot be read are refused in one line that names file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2_edge.errors import EvaluationError, GPT2EdgeError
from gpt2_edge.measure.evaluate.data import read_jsonl, read_text
from gpt2_edge.measure.evaluate.tasks import TASKS, prepare
from gpt2_edge.untrusted import read_text_file
from helpers import assert_one_line


def test_a_text_is_read_as_everywhere_else(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes("\ufeffone\r\ntwo\rthree\n".encode())
    assert read_text(path) == read_text_file(path) == "one\ntwo\nthree\n"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: there is no such file"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        ("text".encode("utf-16"), "byte 0 is not UTF-8 text; save it as UTF-8"),
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
        ('{"text": "a b", "text": "c d"}', "has the key 'text' twice"),
        ('{"text": ' + "1" * 10_000 + "}", "is not JSON"),
        ('{"text": "\x1b[31m"}', "is not JSON"),
    ],
    ids=["broken", "deep", "list", "string", "twice", "digits", "control"],
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
        (["lambada"], {}, "no task ['lambada']; the tasks are"),
        ("lambada", {"limit": 0}, "limit is 0"),
        ("lambada", {"limit": 1.5}, "limit is 1.5"),
        ("lambada", {"limit": "3"}, "limit is '3'"),
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
