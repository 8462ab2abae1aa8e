"""gpt2-edge next, info, verify and bench."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.command import Cli, Output
from gpt2_edge import Generator, __version__
from gpt2_edge_cli.main import main

PROMPT = "What do you"


def test_next_prints_a_table(ok: Output, sample_fp32: Path) -> None:
    options = Generator.load(sample_fp32).next_tokens(PROMPT, 3)
    lines = ok("next", sample_fp32, PROMPT, "-k", 3).splitlines()
    assert lines == [f'{100 * o.probability:5.1f}%  "{o.text}"' for o in options]


def test_next_shows_control_characters_on_one_line(ok: Output, sample_fp32: Path) -> None:
    lines = ok("next", sample_fp32, "THE END.", "-k", 8192).splitlines()
    assert len(lines) == 8192
    assert any(line.endswith('"\\n"') for line in lines)


def test_next_prints_json(ok: Output, sample_fp32: Path) -> None:
    options = json.loads(ok("next", sample_fp32, "--json", stdin=PROMPT))
    assert [set(option) for option in options] == [{"id", "text", "probability"}] * 10
    expected = Generator.load(sample_fp32).next_tokens(PROMPT)
    assert [option["id"] for option in options] == [option.id for option in expected]
    assert [option["text"] for option in options] == [option.text for option in expected]


def test_info_describes_the_package(ok: Output, sample_int4: Path) -> None:
    output = ok("info", sample_int4)
    for expected in ("sample", "6 layers, width 256, 4 heads", "8,192 tokens", "512 tokens"):
        assert expected in output
    for file in sample_int4.iterdir():
        assert file.name == "manifest.json" or f"{file.stat().st_size:,}  {file.name}" in output


def test_info_json_is_the_manifest(ok: Output, sample_int4: Path) -> None:
    manifest = json.loads((sample_int4 / "manifest.json").read_text("utf-8"))
    assert json.loads(ok("info", sample_int4, "--json")) == manifest


def test_verify(ok: Output, sample_int4: Path) -> None:
    lines = ok("verify", sample_int4).splitlines()
    assert [line.split()[:2] for line in lines] == [["hashes", "ok,"], ["self-test", "ok,"]]


def test_verify_tells_a_package_that_computes_something_else(
    cli: Cli, sample_int4: Path, tmp_path: Path
) -> None:
    package = shutil.copytree(sample_int4, tmp_path / "package")
    manifest = json.loads((package / "manifest.json").read_text("utf-8"))
    manifest["self_test"]["expected_ids"][0] ^= 1
    (package / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    process = cli("verify", package)
    assert process.returncode == 1
    assert "self-test  FAILED: greedy tokens are" in process.stdout
    assert process.stderr == ""


def test_bench_prints_json(ok: Output, sample_int4: Path) -> None:
    figures = json.loads(ok("bench", sample_int4, "--json", "--threads", 1))
    assert set(figures) == {
        "package",
        "load_seconds",
        "first_token_seconds",
        "prefill",
        "decode",
        "peak_memory_bytes",
        "package_bytes",
    }
    assert set(figures["prefill"]) == {"128", "512"}
    assert set(figures["decode"]) == {"128"}
    assert min(*figures["prefill"].values(), *figures["decode"].values()) > 0
    files = [file for file in sample_int4.iterdir() if file.name != "manifest.json"]
    assert figures["package_bytes"] == sum(file.stat().st_size for file in files)


def test_bench_prints_a_table(ok: Output, random_package: Callable[..., Path]) -> None:
    # A context shorter than every measured prompt leaves the rates out.
    labels = [line[:28].strip() for line in ok("bench", random_package()).splitlines()]
    assert labels == ["load", "first token, prompt 16", "peak memory", "package size"]


def test_the_version(ok: Output) -> None:
    assert ok("--version") == f"gpt2-edge {__version__}\n"


@pytest.mark.parametrize("verb", ["export", "generate", "next", "info", "verify", "bench"])
def test_every_verb_has_help_with_examples(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert f"  gpt2-edge {verb} " in capsys.readouterr().out.partition("examples:")[2]
