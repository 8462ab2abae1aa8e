"""generate --cache-file: a prompt that was read once is not read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import GenerationError, Generator
from gpt2_edge_cli.main import main

PROMPT = "The man in the boat said that he would not go home before the night was over"
Capture = pytest.CaptureFixture[str]


def record(capsys: Capture, *arguments: object) -> dict[str, Any]:
    assert main(["generate", *map(str, arguments), "--json"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    found: dict[str, Any] = json.loads(output.out)
    return found


def test_what_is_in_the_file_is_not_read_again(
    capsys: Capture, sample_fp32: Path, tmp_path: Path
) -> None:
    file = tmp_path / "prompt.cache"
    command = (sample_fp32, "--cache-file", file, "-n", 6)
    first = record(capsys, *command, PROMPT)
    again = record(capsys, *command, PROMPT)
    assert (first["cached_tokens"], again["cached_tokens"]) == (0, first["prompt_tokens"] - 1)
    assert again["ids"] == first["ids"]
    # The text is in it, too.
    longer = record(
        capsys, *command, "--ids", ",".join(map(str, again["prompt_ids"] + again["ids"]))
    )
    assert longer["cached_tokens"] == longer["prompt_tokens"] - 1
    assert list(tmp_path.iterdir()) == [file]


def test_the_cache_of_another_package_stays_as_it_is(
    capsys: Capture, sample_fp32: Path, sample_int4: Path, tmp_path: Path
) -> None:
    file = tmp_path / "prompt.cache"
    record(capsys, sample_fp32, PROMPT, "--cache-file", file, "-n", 2)
    before = file.read_bytes()
    assert main(["generate", str(sample_int4), PROMPT, "--cache-file", str(file)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "is the cache of another package" in output.err
    assert output.err.count("\n") == 1
    assert file.read_bytes() == before


def test_a_file_that_is_no_cache_stays_as_it_is(
    capsys: Capture, sample_int4: Path, tmp_path: Path
) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear Sir", "utf-8")
    assert main(["generate", str(sample_int4), PROMPT, "--cache-file", str(file)]) == 2
    output = capsys.readouterr()
    assert "cannot be read" in output.err
    assert output.err.count("\n") == 1
    assert file.read_text("utf-8") == "Dear Sir"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("", "it is a folder"), ("nowhere/x", "there is no folder"), ("\udcff/x", "no folder")],
)
def test_where_no_file_can_be_written_nothing_is_computed(
    capsys: Capture, sample_int4: Path, tmp_path: Path, name: str, expected: str
) -> None:
    command = ["generate", str(sample_int4), PROMPT, "--cache-file", str(tmp_path / name)]
    assert main(command) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert expected in output.err


def test_a_cache_that_cannot_be_written_leaves_the_one_before(
    sample_int4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = Generator.load(sample_int4)
    cache = generator.new_cache()
    generator.generate(PROMPT, max_new_tokens=2, cache=cache)
    file = tmp_path / "prompt.cache"
    cache.save(file)
    before = file.read_bytes()

    def full(_: object, path: str, **__: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    generator.generate(PROMPT + " and", max_new_tokens=2, cache=cache)
    with pytest.raises(GenerationError, match=r"cannot be written \(.*No space left"):
        cache.save(file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_beams_have_no_cache(capsys: Capture, sample_int4: Path, tmp_path: Path) -> None:
    command = ["generate", str(sample_int4), PROMPT, "--cache-file", str(tmp_path / "c")]
    assert main([*command, "--num-beams", "2"]) == 2
    assert "a cache holds one text" in capsys.readouterr().err


def test_a_package_without_a_tokenizer_has_caches(
    capsys: Capture, random_package: Callable[..., Path], tmp_path: Path
) -> None:
    command = (random_package(), "--ids", "5,6,7", "--cache-file", tmp_path / "c", "-n", 3)
    assert record(capsys, *command)["cached_tokens"] == 0
    assert record(capsys, *command)["cached_tokens"] == 2
