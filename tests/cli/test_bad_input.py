"""Every bad input is refused in one line, with status 2 and without a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.command import Cli, Output

Damage = Callable[[Path], object]


@pytest.mark.parametrize("verb", ["generate", "info", "bench"])
def test_no_such_package(refused: Output, tmp_path: Path, verb: str) -> None:
    message = refused(verb, tmp_path / "nothing")
    assert f"{tmp_path / 'nothing'}: no such package folder" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-n 0", "max_new_tokens is 0"),
        ("--temperature -0.1", "temperature is -0.1"),
        ("--top-k -1", "top_k is -1"),
        ("--top-p -0.5", "top_p is -0.5"),
        ("--top-p 2", "top_p is 2.0"),
        ("--stop=", "stop_strings is"),
        ("--threads 0", "--threads is 0"),
    ],
)
def test_a_setting_out_of_range(
    refused: Output, sample_int4: Path, options: str, expected: str
) -> None:
    assert expected in refused("generate", sample_int4, "One", *options.split())


@pytest.mark.parametrize("k", [0, -1])
def test_a_k_of_next_out_of_range(refused: Output, sample_int4: Path, k: int) -> None:
    assert f"k is {k}; it must be at least 1" in refused("next", sample_int4, "One", "-k", k)


def test_a_prompt_longer_than_the_context(refused: Output, sample_int4: Path) -> None:
    expected = "the prompt has 600 tokens; the model's context holds 512"
    assert expected in refused("generate", sample_int4, " the" * 600)
    assert expected in refused("next", sample_int4, stdin=" the" * 600)


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [(["generate", ""], ""), (["generate"], ""), (["generate", "--ids="], ""), (["next"], "\n")],
)
def test_an_empty_prompt(
    refused: Output, sample_int4: Path, arguments: list[str], stdin: str
) -> None:
    verb, *others = arguments
    assert "the prompt is empty" in refused(verb, sample_int4, *others, stdin=stdin)


@pytest.mark.parametrize("string", ["\\", "C:\\x"])
def test_a_stop_string_with_a_lone_backslash(cli: Cli, sample_int4: Path, string: str) -> None:
    process = cli("generate", sample_int4, "One", "-n", 2, "--stop", string)
    assert "Traceback" not in process.stderr
    assert (process.returncode, process.stderr.count("\n")) in [(0, 0), (2, 1)]


def test_standard_input_that_is_not_utf_8(refused: Output, sample_int4: Path) -> None:
    message = refused("generate", sample_int4, stdin=b"caf\xe9")
    assert "standard input is not UTF-8 text" in message


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ("1,two,3", "--ids takes whole numbers, not '1,two,3'"),
        ("1.5", "--ids takes whole numbers, not '1.5'"),
        ("8192", "token id 8192 is outside the vocabulary of 8192"),
        ("=-1", "token id -1 is outside the vocabulary of 8192"),
    ],
)
def test_ids_that_are_none(refused: Output, sample_int4: Path, ids: str, expected: str) -> None:
    argument = f"--ids{ids}" if ids.startswith("=") else f"--ids={ids}"
    assert expected in refused("generate", sample_int4, argument)


def test_a_prompt_given_twice(refused: Output, sample_int4: Path) -> None:
    message = refused("generate", sample_int4, "One", "--ids", "1,2")
    assert "as text or with --ids, not both" in message


def flip_a_bit(package: Path) -> None:
    content = bytearray((package / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (package / "model.onnx").write_bytes(content)


def set_format(package: Path) -> None:
    path = package / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"format_version": 2}))


DAMAGES: dict[str, tuple[Damage, str]] = {
    "flipped bit": (flip_a_bit, "model.onnx is damaged"),
    "missing file": (lambda package: (package / "config.json").unlink(), "config.json is missing"),
    "newer format": (set_format, "manifest.json has format version 2"),
    "no JSON": (
        lambda package: (package / "manifest.json").write_text("{"),
        "manifest.json cannot be read as JSON",
    ),
    "no manifest": (
        lambda package: (package / "manifest.json").unlink(),
        "has no manifest.json",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_package(refused: Output, sample_int4: Path, tmp_path: Path, damage: str) -> None:
    package = shutil.copytree(sample_int4, tmp_path / "package")
    apply, expected = DAMAGES[damage]
    apply(package)
    message = refused("generate", package, "One")
    assert expected in message
    assert str(package) in message
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


def test_verify_refuses_a_damaged_file_that_the_runtime_does_not_read(
    refused: Output, sample_int4: Path, tmp_path: Path
) -> None:
    package = shutil.copytree(sample_int4, tmp_path / "package")
    config = package / "config.json"
    config.write_text(config.read_text("utf-8").replace("512", "513"), "utf-8")
    assert "config.json is damaged" in refused("verify", package)


def test_debug_shows_the_traceback(cli: Cli, tmp_path: Path) -> None:
    process = cli("info", tmp_path / "nothing", "--debug")
    assert process.returncode != 0
    assert process.stderr.startswith("Traceback")
    assert "PackageError" in process.stderr
