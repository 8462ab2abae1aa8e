"""Shells complete verbs, options and values: typed at a terminal of their own, with Tab."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.terminal import AtTerminal
from gpt2_edge.graph.providers import AUTO, PROVIDERS
from gpt2_edge_cli import arguments
from gpt2_edge_cli.completing.offers import all_offers
from gpt2_edge_cli.main import main
from gpt2_edge_cli.offering import offer, offered
from gpt2_edge_cli.registry import VERBS, load_verb
from gpt2_edge_cli.setting_options import OPTIONS
from gpt2_edge_cli.verbs.completion import SHELLS
from gpt2_edge_cli.verbs.export import OFFERED
from gpt2_edge_export.checkpoint.activations import ACTIVATIONS
from gpt2_edge_export.graph.flavours import FLAVOURS, TARGETS
from gpt2_edge_export.graph.versions import CACHE_MIN_ONNXRUNTIME
from gpt2_edge_export.options import ENGINES, ExportOptions, graph_plan
from gpt2_edge_export.quantize.recipe import RECIPES


def test_every_value_that_is_offered_is_one_that_is_taken() -> None:
    assert set(OFFERED["--recipe"]) == set(RECIPES)
    assert set(OFFERED["--cache-dtype"]) == set(CACHE_MIN_ONNXRUNTIME)
    assert set(OFFERED["--flavour"]) == set(FLAVOURS)
    assert set(OFFERED["--target"]) == set(TARGETS)
    assert set(OFFERED["--engine"]) == set(ENGINES)
    assert set(OFFERED["--activation-function"]) == set(ACTIVATIONS)
    assert set(arguments.PROVIDERS) == {AUTO, *PROVIDERS}
    for compute in OFFERED["--compute-dtype"]:
        assert graph_plan(ExportOptions(compute_dtype=compute)).compute_dtype == compute
    for option in OPTIONS.values():
        for value in option.values:
            option.take(value)


def test_an_offer_refuses_nothing() -> None:
    parser = argparse.ArgumentParser()
    action = parser.add_argument("--recipe")
    offer(action, ["int4"])
    assert offered(action) == ("int4",)
    assert parser.parse_args(["--recipe", "int5"]).recipe == "int5"


def test_every_place_and_option_is_in_the_offers() -> None:
    for verb in all_offers():
        parser = load_verb(verb.name).parser
        assert sorted(name for each in verb.options for name in each.names) == sorted(
            parser.option_names
        )
    places = {verb.name: [place.metavar for place in verb.places] for verb in all_offers()}
    assert places["generate"] == ["PACKAGE", "TEXT", "TEXT ..."]
    assert places["eval"] == ["PACKAGE", "TASK"]
    assert set(places) == set(VERBS)


@pytest.mark.parametrize("shell", SHELLS)
def test_it_is_light(shell: str) -> None:
    code = (
        "import json, sys; from gpt2_edge_cli.main import main; status = main(sys.argv[1:]); "
        "print(json.dumps([status, *sys.modules]), file=sys.stderr)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, "completion", shell],
        capture_output=True,
        text=True,
        check=True,
    )
    status, *modules = json.loads(process.stderr)
    assert status == 0
    assert not {"numpy", "onnx", "onnxruntime", "tokenizers"} & set(modules)


def test_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "SHELL is one of bash, zsh, fish" in capsys.readouterr().err


_READ = ".zshrc"  # the name that zsh wants; the others are told
# How each shell begins: a prompt, a command that shows its arguments, and the script.
_RC = {
    "bash": "PS1='ready> '\ngpt2-edge() { printf '<%s>' \"$@\"; echo .; }\n",
    "zsh": "PS1='ready> '\nautoload -Uz compinit && compinit -u -D\nunsetopt beep\n"
    "gpt2-edge() { printf '<%s>' \"$@\"; echo .; }\n",
    "fish": "function fish_prompt; echo -n 'ready> '; end\nfunction fish_greeting; end\n"
    "function gpt2-edge; printf '<%s>' $argv; echo .; end\n",
}


@pytest.fixture(scope="module", params=SHELLS)
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A home with a package, a text, and the shell's script in what it reads on starting."""
    shell: str = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    home = tmp_path_factory.mktemp(shell)
    (home / "a package").mkdir()
    (home / "int4").mkdir()  # a value that is also a folder
    (home / "prompt.txt").touch()
    process = subprocess.run(
        [sys.executable, "-m", "gpt2_edge_cli", "completion", shell],
        capture_output=True,
        text=True,
        check=True,
    )
    (home / _READ).write_text(_RC[shell] + process.stdout)
    return home


@pytest.fixture(scope="module")
def terminal(folder: Path, request: pytest.FixtureRequest) -> Iterator[AtTerminal]:
    """The shell, ready for a line."""
    shell = re.sub(r"\d+$", "", folder.name)
    rc = str(folder / _READ)
    start = {
        "bash": ["bash", "--noprofile", "--rcfile", rc, "-i"],
        "zsh": ["zsh", "-d", "-i"],
        "fish": ["fish", "--no-config", "--init-command", f"source {rc}", "--interactive"],
    }[shell]
    home = {"HOME": str(folder), "ZDOTDIR": str(folder), "HISTFILE": "/dev/null"}
    with AtTerminal(command=start, columns=200, **home) as shown:
        shown.expect("ready> ")
        shown.press(f"cd '{folder}'\r")
        shown.expect("ready> ")
        yield shown


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("comp\tfi\t", "<completion><fish>"),
        ("export prom\t--rec\tint4-\t", "<export><prompt.txt><--recipe><int4-small>"),
        ("export x --recipe int4\t", "<export><x><--recipe><int4>"),  # also a folder's name
        ("export x --tar\tmo\t", "<export><x><--target><mobile>"),
        ("generate a\t --prompt-w\tof\t", "<generate><a package><--prompt-weights><off>"),
        ("generate x y --context-o\tsl\t", "<generate><x><y><--context-overflow><slide>"),
        ("generate x --context-o\tsl\t", "<generate><x><--context-overflow><slide>"),
        ("generate x y z --context-o\tsl\t", "<generate><x><y><z><--context-overflow><slide>"),
        ("generate x --context-overflow=sl\t", "<generate><x><--context-overflow=slide>"),
        ("next int4 -f pro\t", "<next><int4><-f><prompt.txt>"),
        # Its second place is a task, wherever options with their values stand.
        ("eval --window 12 int4 --json win\t", "<eval><--window><12><int4><--json><winograd>"),
        ("eval --provider-option a=b int4 win\t", "<eval><--provider-option><a=b><int4><winograd>"),
        # Nothing to complete: a text, a number, an option's name behind --.
        ("generate int4 pro\t", "<generate><int4><pro>"),
        ("generate int4 -n pro\t", "<generate><int4><-n><pro>"),
        ("generate int4 -- --js\t", "<generate><int4><--><--js>"),
    ],
)
def test_tab_completes(terminal: AtTerminal, keys: str, line: str) -> None:
    terminal.press(f"gpt2-edge {keys}")
    terminal.press("\r")
    found = re.search(r"<.*>", terminal.expect(r"<[^\n]*>\."))
    terminal.expect("ready> ")
    assert found
    assert _alike(found.group()) == _alike(line)


def _alike(line: str) -> str:
    """zsh puts = behind an option that takes a value, and the others / behind a folder."""
    return re.sub(r"<(--[\w-]+)=", r"<\1><", line).replace("/>", ">")
