"""gpt2-edge export."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from byte_model import write_byte_checkpoint
from cli.command import Output
from gpt2_edge import Generator
from gpt2_edge.measure.selftest import run_self_test
from gpt2_edge_cli.main import main


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """An empty folder to export into."""
    folder = tmp_path / "parent"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("recipe", ["fp32", "int8", "int4"])
def test_export(ok: Output, tiny_checkpoint: Path, parent: Path, recipe: str) -> None:
    output = parent / "package"
    command = ("export", tiny_checkpoint, "-o", output, "--no-tokenizer", "--recipe", recipe)
    assert f"{output}: tiny as {recipe}, " in ok(*command)
    assert [path.name for path in parent.iterdir()] == ["package"]
    assert run_self_test(Generator.load(output)) == []


def test_export_with_its_tokenizer(ok: Output, sample_checkpoint: Path, parent: Path) -> None:
    quickly = ("--no-calibration", "--no-report")
    lines = ok("export", sample_checkpoint, "-o", parent / "package", *quickly).splitlines()
    assert len(lines) == 2
    first, command = lines
    assert "sample as int4" in first
    assert command == f'try: gpt2-edge generate {parent / "package"} "The animal" --temperature 0.8'
    assert ok("generate", parent / "package", "The animal", "-n", 3).strip()


def test_force_replaces_a_package(ok: Output, tiny_checkpoint: Path, parent: Path) -> None:
    command = ("export", tiny_checkpoint, "-o", parent / "package", "--no-tokenizer", "--recipe")
    ok(*command, "fp32")
    ok(*command, "int8", "--force")
    assert Generator.load(parent / "package").manifest.recipe["name"] == "int8"
    assert [path.name for path in parent.iterdir()] == ["package"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["--recipe", "int3"], "int3"),
        (["--engine", "tflite"], "engine 'tflite' is not one of fused, optimum"),
        (["--tokenizer", "nowhere"], "nowhere: no such tokenizer"),
        ([], "has no tokenizer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_option(
    refused: Output, tiny_checkpoint: Path, parent: Path, changes: list[str], expected: str
) -> None:
    tokenizer = [] if "--tokenizer" in changes or not changes else ["--no-tokenizer"]
    output = parent / "package"
    assert expected in refused("export", tiny_checkpoint, "-o", output, *tokenizer, *changes)
    assert list(parent.iterdir()) == []


@pytest.mark.parametrize("checkpoint", ["./no-such-folder", "/no/such/folder", "no-such-model"])
def test_no_such_checkpoint(refused: Output, parent: Path, checkpoint: str) -> None:
    message = refused("export", checkpoint, "-o", parent / "package")
    assert f"{checkpoint}: no such folder" in message
    assert list(parent.iterdir()) == []


def test_a_folder_that_is_no_checkpoint(refused: Output, parent: Path, tmp_path: Path) -> None:
    assert "has no config.json" in refused("export", tmp_path, "-o", parent / "package")
    assert list(parent.iterdir()) == []


def test_an_output_that_exists(refused: Output, tiny_checkpoint: Path, parent: Path) -> None:
    kept = parent / "package" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    command = ("export", tiny_checkpoint, "-o", kept.parent, "--no-tokenizer")
    assert f"{kept.parent} exists" in refused(*command)
    assert "is not a package" in refused(*command, "--force")
    assert list(parent.rglob("*")) == [kept.parent, kept]
    assert kept.read_text() == "mine"


def test_an_output_in_no_folder(refused: Output, tiny_checkpoint: Path, parent: Path) -> None:
    output = parent / "missing" / "package"
    message = refused("export", tiny_checkpoint, "-o", output, "--no-tokenizer")
    assert f"{output.parent}: no such folder" in message
    assert list(parent.iterdir()) == []


def test_an_output_that_is_a_file(refused: Output, tiny_checkpoint: Path, parent: Path) -> None:
    file = parent / "package"
    file.write_text("mine")
    message = refused("export", tiny_checkpoint, "-o", file, "--no-tokenizer", "--force")
    assert f"{file} exists and is no folder" in message
    assert [path.name for path in parent.iterdir()] == ["package"]
    assert file.read_text() == "mine"


def test_json_has_all_that_is_printed(
    ok: Output, sample_checkpoint: Path, parent: Path, tmp_path: Path
) -> None:
    quickly = ("--no-calibration", "--no-report", "--json")
    (line,) = ok("export", sample_checkpoint, "-o", parent / "package", *quickly).splitlines()
    result = json.loads(line)
    manifest = json.loads((parent / "package" / "manifest.json").read_text("utf-8"))
    assert result.keys() == {
        "folder", "name", "recipe", "bytes", "seconds", "quality", "self_test_tokens", "notes",
        "frontier",
    }  # fmt: skip
    assert (result["folder"], result["name"]) == (str(parent / "package"), "sample")
    assert (result["recipe"], result["quality"], result["frontier"]) == ("int4", None, [])
    assert result["bytes"] == sum(file["bytes"] for file in manifest["files"].values())
    assert result["self_test_tokens"] == len(manifest["self_test"]["expected_ids"])
    assert result["seconds"] > 0
    assert result["notes"] == []


def test_json_of_a_search(ok: Output, parent: Path) -> None:
    checkpoint = write_byte_checkpoint(parent.parent / "bytes")
    text = parent.parent / "text.txt"
    text.write_text("the rain in Spain " * 30, "utf-8")
    options = ("--report-text", text, "--max-size", "9", "--json")
    result = json.loads(ok("export", checkpoint, "-o", parent / "package", *options))
    assert result["recipe"] == "mixed"
    assert result["quality"]["tokens"] == 540
    first = result["frontier"][0]
    assert (first["in_4_bits"], first["measured_kl"]) == ([], result["quality"]["mean_kl"])
    assert [len(each["in_4_bits"]) for each in result["frontier"]] == list(range(10))


@pytest.mark.parametrize("json_flag", [(), ("--json",)])
def test_foreign_text_does_not_reach_the_terminal(
    ok: Output, tiny_checkpoint: Path, parent: Path, tmp_path: Path, json_flag: tuple[str, ...]
) -> None:
    name = "\x1b]0;title\x07\nnew line\x9b2J"
    source = shutil.copytree(tiny_checkpoint, tmp_path / name)
    (source / "generation_config.json").write_text('{"epsilon_cutoff": 0.1}', "utf-8")
    out = ok("export", source, "-o", parent / name, "--no-tokenizer", *json_flag)
    assert out.replace("\n", "").isprintable()
    assert "epsilon_cutoff" in out
    assert len(out.splitlines()) == (1 if json_flag else 3)  # two notes, and the package
    assert [path.name for path in parent.iterdir()] == [name]


def test_what_to_try_can_be_pasted(ok: Output, tiny_checkpoint: Path, parent: Path) -> None:
    output = parent / "it's a package"
    out = ok("export", tiny_checkpoint, "-o", output, "--no-tokenizer").splitlines()[-1]
    words = shlex.split(out.removeprefix("try: "))
    assert words[:3] == ["gpt2-edge", "generate", str(output)]
    assert words[3:] == ["--ids", "1,2,3", "--temperature", "0.8"]


@pytest.mark.parametrize("option", ["recipe", "flavour", "target", "cache-dtype", "compute-dtype"])
def test_an_empty_text_is_no_name(
    capsys: pytest.CaptureFixture[str], sample_checkpoint: Path, tmp_path: Path, option: str
) -> None:
    command = ["export", str(sample_checkpoint), "-o", str(tmp_path / "package"), "--no-report"]
    assert main([*command, "--no-calibration", f"--{option}", ""]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "'' is not one of" in error
    assert not list(tmp_path.iterdir())
