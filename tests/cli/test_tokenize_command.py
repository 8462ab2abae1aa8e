"""gpt2-edge tokenize."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.command import Output
from gpt2_edge import Generator
from gpt2_edge_cli.main import main

TEXT = "It was a dark night"
Capture = pytest.CaptureFixture[str]


def output_of(capsys: Capture, *arguments: object) -> str:
    assert main(["tokenize", *map(str, arguments)]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def test_a_token_a_line_and_how_many(capsys: Capture, sample_int4: Path) -> None:
    generator = Generator.load(sample_int4)
    *rows, counts = output_of(capsys, sample_int4, TEXT).splitlines()
    ids = generator.encode(TEXT)
    assert [int(row.split("  ")[0]) for row in rows] == ids
    labels = [row.split("  ")[1] for row in rows]
    assert "".join(label[1:-1] for label in labels) == TEXT
    assert counts == f"{len(ids)} tokens, 19 characters, 19 bytes"
    assert output_of(capsys, sample_int4, TEXT, "--count") == f"{len(ids)}\n"


def test_ids_become_text_again(capsys: Capture, sample_int4: Path) -> None:
    record = json.loads(output_of(capsys, sample_int4, TEXT, "--json"))
    assert record["text"] == TEXT
    assert record["count"] == len(record["ids"]) == len(record["tokens"])
    ids = ",".join(map(str, record["ids"]))
    assert output_of(capsys, sample_int4, "--ids", ids) == TEXT + "\n"
    assert json.loads(output_of(capsys, sample_int4, "--ids", ids, "--json")) == record


def test_special_tokens_count_unless_they_are_to_be_text(
    capsys: Capture, sample_int4: Path
) -> None:
    given = "a<|endoftext|>"
    special = json.loads(output_of(capsys, sample_int4, given, "--json"))
    assert special["tokens"] == ["a", "<|endoftext|>"]
    plain = json.loads(output_of(capsys, sample_int4, given, "--json", "--no-special"))
    assert 0 not in plain["ids"]
    assert "".join(plain["tokens"]) == given


def test_texts_of_files_and_standard_input(ok: Output, sample_int4: Path, tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text(TEXT + "\n", "utf-8")
    expected = ok("tokenize", sample_int4, TEXT)
    assert ok("tokenize", sample_int4, "-f", file) == expected
    assert ok("tokenize", sample_int4, stdin=TEXT) == expected
    assert ok("tokenize", sample_int4, "--count", stdin="") == "0\n"


def test_a_text_longer_than_the_context_is_counted(ok: Output, sample_int4: Path) -> None:
    assert int(ok("tokenize", sample_int4, "--count", stdin="night " * 5000)) > 5000


def test_the_model_is_not_loaded(
    capsys: Capture, sample_int4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt2_edge.graph.session.Session.__init__", None)
    output_of(capsys, sample_int4, TEXT)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("PKG --ids 8192", "token id 8192 is outside the vocabulary of 8192"),
        ("PKG --ids -1", "token id -1 is outside"),
        ("PKG --ids one", "--ids takes whole numbers"),
        ("PKG x --count --json", "--json has the count, too"),
        ("PKG --ids 1 --no-special", "--no-special is about special tokens in a text"),
        ("PKG x --ids 1", "not both"),
        ("PKG x y", "a text of several words stands in quotes"),
        ("PKG \udcff", "the text is not UTF-8"),
        ("nowhere x", "no such package folder"),
    ],
)
def test_mistakes_are_one_line(
    capsys: Capture, sample_int4: Path, line: str, expected: str
) -> None:
    given = [str(sample_int4) if word == "PKG" else word for word in line.split()]
    assert main(["tokenize", *given]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert expected in output.err
    assert output.err.count("\n") == 1


def test_a_package_without_a_tokenizer(
    capsys: Capture, random_package: Callable[..., Path]
) -> None:
    assert main(["tokenize", str(random_package()), "x"]) == 2
    assert "has no tokenizer; its tokens are numbers only" in capsys.readouterr().err
