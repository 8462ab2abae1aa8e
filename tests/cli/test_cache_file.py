"""generate --cache-file: a prompt that was read once is not read again."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

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


@pytest.fixture
def saved(sample_fp32: Path, tmp_path: Path) -> tuple[Generator, Path]:
    """A loaded package, and the file of a cache of it."""
    generator = Generator.load(sample_fp32)
    cache = generator.new_cache()
    generator.generate(PROMPT, max_new_tokens=2, cache=cache)
    cache.save(tmp_path / "prompt.cache")
    return generator, tmp_path / "prompt.cache"


def damaged(capsys: Capture, generator: Generator, file: Path, expected: str) -> None:
    """The command says in one line what is wrong with the file, and leaves it as it is."""
    before = file.read_bytes()
    command = ["generate", str(generator.package.folder), PROMPT, "--cache-file", str(file)]
    assert main(command) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert expected in output.err
    assert file.read_bytes() == before


@pytest.mark.parametrize("share", [0.3, 0.6, 0.999])
def test_a_flipped_bit_is_found(
    capsys: Capture, saved: tuple[Generator, Path], share: float
) -> None:
    generator, file = saved
    content = bytearray(file.read_bytes())
    content[int(share * len(content))] ^= 4
    file.write_bytes(content)
    damaged(capsys, generator, file, "is damaged (its SHA-256 is another); make it anew")


def test_other_tensors_are_not_read(capsys: Capture, saved: tuple[Generator, Path]) -> None:
    generator, file = saved
    with safe_open(file, "numpy") as opened:
        metadata = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    ids = tensors["ids"]
    for wrong in (
        tensors | {"more": ids},
        {name: array for name, array in tensors.items() if name != "h.0.key"},
        tensors | {"h.0.key": tensors["h.0.key"][:, :-1]},
        {"ids": ids},
        tensors | {"ids": ids[:-1]},
        tensors | {"ids": ids[None]},
        tensors | {"ids": ids.astype(np.float64)},
    ):
        save_file({name: np.ascontiguousarray(a) for name, a in wrong.items()}, file, metadata)
        damaged(capsys, generator, file, str(file))


def test_a_file_that_names_more_than_memory_holds_is_refused(
    capsys: Capture, saved: tuple[Generator, Path]
) -> None:
    generator, file = saved
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    end, size = max(each["data_offsets"][1] for each in header.values() if "shape" in each), 1 << 36
    header["more"] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
    text = json.dumps(header).encode()
    with file.open("wb") as target:
        target.write(struct.pack("<Q", len(text)) + text + content[8 + length :])
        target.truncate(8 + len(text) + end + size)  # a hole
    command = ["generate", str(generator.package.folder), PROMPT, "--cache-file", str(file)]
    assert main(command) == 2
    output = capsys.readouterr()
    assert "is damaged (it holds other tensors)" in output.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs and links")
def test_what_is_no_regular_file_is_left_alone(
    capsys: Capture, sample_fp32: Path, tmp_path: Path
) -> None:
    fifo, loop = tmp_path / "fifo", tmp_path / "loop"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    for file, expected in (
        (fifo, "it is no regular file"),
        (loop, "symbolic links"),
        (Path("/dev/null"), "it is no regular file"),
        (tmp_path / ("a" * 256), "File name too long"),
    ):
        assert main(["generate", str(sample_fp32), PROMPT, "--cache-file", str(file)]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.count("\n") == 1
        assert expected in output.err
    assert {path.name for path in tmp_path.iterdir()} == {"fifo", "loop"}
    assert loop.is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links")
def test_a_link_stays_one(capsys: Capture, sample_fp32: Path, tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    for expected in (0, 1):
        found = record(capsys, sample_fp32, PROMPT, "--cache-file", link, "-n", 2)
        assert bool(found["cached_tokens"]) == expected
        assert link.is_symlink()
        assert target.is_file()


def test_a_name_as_long_as_names_can_be(capsys: Capture, sample_fp32: Path, tmp_path: Path) -> None:
    file = tmp_path / ("a" * 255)
    record(capsys, sample_fp32, PROMPT, "--cache-file", file, "-n", 2)
    assert record(capsys, sample_fp32, PROMPT, "--cache-file", file, "-n", 2)["cached_tokens"]
    assert list(tmp_path.iterdir()) == [file]
