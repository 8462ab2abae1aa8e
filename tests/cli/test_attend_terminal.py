"""gpt2-edge attend at a terminal, and where there is none: shades, colours, blocks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cli.attending import EXAMPLE, TEXT
from cli.command import COMMAND, ENVIRONMENT, Cli
from gpt2_edge import Generator
from gpt2_edge_cli.attending.shades import Shades
from gpt2_edge_cli.attending.view import make_view
from gpt2_edge_cli.terminal import Screen, columns

ESCAPE = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture(scope="module")
def generator(sample_int4: Path) -> Generator:
    return Generator.load(sample_int4)


def test_an_output_that_has_no_blocks(sample_int4: Path) -> None:
    process = subprocess.run(
        [*COMMAND, "attend", str(sample_int4), EXAMPLE],
        capture_output=True,
        env=ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        stdin=subprocess.DEVNULL,
    )
    assert process.stderr == b""
    assert process.returncode == 0
    first = process.stdout.decode("ascii").splitlines()[0]
    assert re.fullmatch(r"\dThe \danimal .* \d\[tired\]", first)
    assert "?" not in first


def test_nothing_steers_what_a_program_reads(cli: Cli, sample_int4: Path) -> None:
    process = cli("attend", sample_int4, "a\x1b]0;x\x07\x9bb\u202ec")
    assert process.returncode == 0
    assert not set("\x1b\x07\x9b\u202e") & set(process.stdout)


def test_shades_go_from_nothing_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    for styled in (False, True):
        screen.is_styled = styled
        shades = Shades(screen)
        cells = [shades.cell(share / 100, 2) for share in range(101)]
        assert len(dict.fromkeys(cells)) == (7 if styled else 9)
        assert cells[0] != shades.cell(0.02, 2)
        assert all(columns(ESCAPE.sub("", cell)) == 2 for cell in cells)
        assert shades.token(" it", 0.0) != shades.token(" it", 1.0)
        assert ESCAPE.sub("", shades.token(" it", 0.5)).endswith("it")


def test_a_view_says_what_it_is(generator: Generator) -> None:
    view = make_view(generator, EXAMPLE, 1, None)
    assert (view.layers, view.heads, view.what) == (6, 4, "layer 1, mean of 4 heads")
    np.testing.assert_allclose(view.weights.sum(-1), 1, atol=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
class TestAtTerminal:
    def test_the_example_in_shades(self, sample_int4: Path, generator: Generator) -> None:
        from cli.terminal import AtTerminal

        with AtTerminal("attend", sample_int4, "--word", "it") as terminal:
            assert terminal.end() == 0
            shown = terminal.shown
        first = shown.splitlines()[0]
        assert ESCAPE.sub("", first) == EXAMPLE
        assert first.count("\x1b[48;5;") == len(generator.encode(EXAMPLE))
        (chosen,) = re.findall(r"\x1b\[1;4m\x1b\[48;5;\d+;38;5;\d+m([^\x1b]*)", first)
        assert chosen == " it"
        assert re.search(r"\d%  [█▉▊▋▌▍▎▏]+ *8  \" it\"", ESCAPE.sub("", shown))
        assert shown.count("\x1b[0m") >= first.count("\x1b[48;5;")

    @pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_without_colours(self, sample_int4: Path, variables: dict[str, str]) -> None:
        from cli.terminal import AtTerminal

        with AtTerminal("attend", sample_int4, TEXT, **variables) as terminal:
            assert terminal.end() == 0
            assert "\x1b" not in terminal.shown
            assert "[times]" in terminal.shown
        with AtTerminal("attend", sample_int4, TEXT, "--matrix", **variables) as terminal:
            assert terminal.end() == 0
            assert "\x1b" not in terminal.shown
            assert "███" in terminal.shown

    def test_the_matrix_fits_or_says_so(self, sample_int4: Path) -> None:
        from cli.terminal import AtTerminal

        for width in (40, 80, 200):
            with AtTerminal("attend", sample_int4, EXAMPLE, "--matrix", columns=width) as terminal:
                assert terminal.end() == 0
                head, *rows = terminal.shown.splitlines()
            assert head.startswith("row: a token")
            assert len(rows) == 12
            assert "\x1b[48;5;18m" in rows[0]
            assert all(columns(ESCAPE.sub("", row)) < width for row in rows)
        with AtTerminal("attend", sample_int4, EXAMPLE, "--matrix", columns=25) as terminal:
            assert terminal.end() == 2
            assert "a table of 12 tokens does not fit the terminal" in terminal.shown

    def test_nothing_steers_a_terminal(self, sample_int4: Path) -> None:
        from cli.terminal import AtTerminal

        text = "a\x1b]0;x\x07\x9bb\u202ec\nd"
        for options in ([], ["--matrix"]):
            with AtTerminal("attend", sample_int4, text, *options, columns=200) as terminal:
                assert terminal.end() == 0
                assert not set("\x1b\x07\x9b\u202e") & set(ESCAPE.sub("", terminal.shown))
