"""What native libraries print on standard error is none of the command's words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.command import COMMAND, ENVIRONMENT
from helpers import rewrite_package

# None of them is foreseen: the library reads or runs it, and panics.
PANICS: dict[str, dict[str, Any]] = {
    "reading": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    "a charsmap": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8="}},
    "nothing is replaced": {
        "normalizer": {"type": "Replace", "pattern": {"String": ""}, "content": "x"}
    },
    "nothing is prepended": {"normalizer": {"type": "Prepend", "prepend": ""}},
    "a second text": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "B", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {},
        }
    },
}


def run(*arguments: object, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND[0], *python, *COMMAND[1:], *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {"RUST_BACKTRACE": "1"},
        stdin=subprocess.DEVNULL,
    )


def panicking(sample_int4: Path, folder: Path, case: str) -> Path:
    raw = json.loads((sample_int4 / "tokenizer.json").read_text("utf-8"))
    return rewrite_package(sample_int4, folder / "package", tokenizer=raw | PANICS[case])


@pytest.mark.skipif(sys.platform == "win32", reason="Rust writes to the console's own handle")
@pytest.mark.parametrize("case", PANICS)
def test_a_panic_of_the_tokenizers_library_is_one_line(
    sample_int4: Path, tmp_path: Path, case: str
) -> None:
    package = panicking(sample_int4, tmp_path, case)
    for verb in (["generate", package, "The a", "-n", "2"], ["score", package, "The animal"]):
        process = run(*verb)
        assert (process.returncode, process.stdout) == (2, "")
        assert process.stderr.startswith(f"gpt2-edge: {package / 'tokenizer.json'} ")
        assert process.stderr.count("\n") == 1


def test_debug_shows_them(sample_int4: Path, tmp_path: Path) -> None:
    process = run("generate", panicking(sample_int4, tmp_path, "reading"), "The a", "--debug")
    assert process.returncode == 1
    assert "panicked at" in process.stderr
    assert "Traceback" in process.stderr


def test_who_asked_for_reports_of_crashes_gets_them(sample_int4: Path, tmp_path: Path) -> None:
    package = panicking(sample_int4, tmp_path, "reading")
    process = run("generate", package, "The a", python=("-X", "faulthandler"))
    assert process.returncode == 2
    assert "panicked at" in process.stderr
    assert process.stderr.splitlines()[-1].startswith("gpt2-edge: ")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_library_writes_on_nothing_and_the_command_where_it_did(sample_int4: Path) -> None:
    program = """
import os, sys
from gpt2_edge_cli import main, streams
streams.mute_libraries()
os.write(2, b"a library")
sys.stderr.write("we")
sys.stderr.flush()
print(os.readlink("/proc/self/fd/2"), os.get_inheritable(sys.stderr.fileno()))
"""
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stderr == "we"
    assert process.stdout == f"{os.devnull} False\n"
