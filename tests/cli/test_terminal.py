"""What a person sees at a terminal, and what programs get in its place."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.command import COMMAND, ENVIRONMENT
from gpt2_edge import GenerationConfig, Generator
from gpt2_edge_cli.main import main
from gpt2_edge_cli.terminal import Screen, counted, json_line, without_steering

pty = pytest.importorskip("pty")  # POSIX

PROMPT = "One day"
ENDLESS = ("--ignore-eos", "--slide", "-n", "1000000")
DIM = f"\x1b[2m{PROMPT}\x1b[22m"


@pytest.fixture(scope="module")
def greedy(sample_int4: Path) -> str:
    text = Generator.load(sample_int4).generate(PROMPT, GenerationConfig(max_new_tokens=6)).text
    assert text
    return text


def at_terminal(*arguments: object, typed: bytes = b"", **variables: str) -> tuple[str, int]:
    """All that a terminal shows of the command, and its exit status."""
    ours, its = pty.openpty()
    environment = {k: v for k, v in ENVIRONMENT.items() if k not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment | {"TERM": "xterm"} | variables,
        start_new_session=True,
    )
    os.close(its)
    shown = b""
    try:
        while True:
            shown += os.read(ours, 65536)
            if typed and b"Ctrl-D" in shown:
                os.write(ours, typed)
                typed = b""
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    return shown.decode().replace("\r\n", "\n"), process.wait(timeout=60)


def test_the_prompt_is_dim_and_the_text_plain(sample_int4: Path, greedy: str) -> None:
    shown, status = at_terminal("generate", sample_int4, PROMPT, "-n", 6)
    text, summary = shown.rsplit("\n[", 1)
    assert text == DIM + greedy
    # A prompt of two tokens says nothing about speed.
    expected = (
        r"6 tokens: as many as asked for; first token after [\d,]+ ms; then [\d,]+ tokens/s\]\n"
    )
    assert re.fullmatch(expected, summary)
    assert status == 0


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(
    sample_int4: Path, greedy: str, variables: dict[str, str]
) -> None:
    shown, _ = at_terminal("generate", sample_int4, PROMPT, "-n", 6, **variables)
    assert shown.startswith(PROMPT + greedy + "\n")
    assert "\x1b" not in shown


def test_the_prompt_can_be_left_out(sample_int4: Path, greedy: str) -> None:
    shown, _ = at_terminal("generate", sample_int4, PROMPT, "-n", 6, "--no-echo")
    assert shown.startswith(greedy + "\n")


def test_a_terminal_is_asked_for_a_text(sample_int4: Path, greedy: str) -> None:
    for arguments in ([], ["-"]):
        shown, status = at_terminal(
            "generate", sample_int4, *arguments, "-n", 6, typed=f"{PROMPT}\n".encode() + b"\x04"
        )
        assert shown.startswith("type a text, and end it with Ctrl-D on a line of its own\n")
        assert DIM + greedy in shown
        assert status == 0


def test_control_characters_do_not_reach_a_terminal(sample_int4: Path) -> None:
    shown, status = at_terminal("generate", sample_int4, "a\x1b]0;x\x07\x9b2J\tb\n", "-n", 1)
    assert status == 0
    assert shown.startswith("\x1b[2ma\\x1b]0;x\\x07\\x9b2J\tb\n\x1b[22m")


def test_bars_at_a_terminal_only(sample_int4: Path) -> None:
    arguments = ("next", sample_int4, PROMPT, "-k", 5)
    shown, _ = at_terminal(*arguments)
    plain, _ = at_terminal(*arguments, NO_COLOR="1")
    first, *others = shown.splitlines()
    assert "█" * 20 + '  "' in first
    widths = {line.index('"') for line in (first, *others)}
    assert len(widths) == 1
    assert "█" not in plain
    assert [re.sub("[▏▎▍▌▋▊▉█ ]+", " ", line) for line in shown.splitlines()] == [
        re.sub(" +", " ", line) for line in plain.splitlines()
    ]


def test_a_context_that_is_full_says_what_goes_on(random_package: Callable[..., Path]) -> None:
    package = random_package(n_positions=16)
    command = ("generate", package, "--ids", "5,6,7", "-n", 100000, "--ignore-eos")
    shown, _ = at_terminal(*command)
    assert "14 tokens: the context is full (--slide goes on)" in shown
    shown, _ = at_terminal("generate", package, "--ids", "5,6,7", "-n", 14, "--ignore-eos")
    assert "14 tokens: as many as asked for" in shown


def test_the_summary_comes_after_the_text(sample_int4: Path, greedy: str) -> None:
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "generate", str(sample_int4), PROMPT, "-n", "6"],
        stdout=subprocess.PIPE,
        stderr=its,
        stdin=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    os.close(its)
    assert process.stdout is not None
    assert os.read(ours, 65536)
    # The summary begins to be there: all of the text is in the pipe by then.
    os.set_blocking(process.stdout.fileno(), False)
    assert os.read(process.stdout.fileno(), 65536) == f"{greedy}\n".encode()
    with contextlib.suppress(OSError):  # the other end is closed
        while os.read(ours, 65536):
            pass
    os.close(ours)
    process.communicate()
    assert process.returncode == 0


def test_ids_are_streamed(random_package: Callable[..., Path]) -> None:
    process = subprocess.Popen(
        [*COMMAND, "generate", str(random_package()), "--ids", "5,6,7", *ENDLESS],
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        beginning = process.stdout.read(50)
    finally:
        process.kill()
        process.communicate()
    assert re.fullmatch(rb"\d+(,\d+)*,?\d*", beginning)
    assert beginning.count(b",") > 5


def output_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(list(map(str, arguments))) == 0
    return capsys.readouterr().out


def test_echo_off_a_terminal(
    capsys: pytest.CaptureFixture[str], sample_int4: Path, greedy: str
) -> None:
    command = ("generate", sample_int4, "-n", 6)
    assert output_of(capsys, *command, PROMPT, "--echo") == f"{PROMPT}{greedy}\n"
    ids = ",".join(map(str, Generator.load(sample_int4).encode(PROMPT)))
    assert output_of(capsys, *command, "--ids", ids, "--echo") == f"{PROMPT}{greedy}\n"
    # What programs read is what was given.
    given = "a\x1b[2J"
    assert output_of(capsys, *command, given, "--echo").startswith(given)


def test_ids_are_echoed_as_ids(
    capsys: pytest.CaptureFixture[str], random_package: Callable[..., Path]
) -> None:
    command = ("generate", random_package(), "--ids", "5 6 7", "-n", 3)
    assert output_of(capsys, *command, "--echo") == "5,6,7," + output_of(capsys, *command)


@pytest.mark.parametrize("more", [[], ["--stop", " the"]])
def test_json_lines_are_streamed(
    capsys: pytest.CaptureFixture[str], sample_int4: Path, more: list[str]
) -> None:
    command = ("generate", sample_int4, PROMPT, "-n", 20, "--json", *more)
    *pieces, result = map(json.loads, output_of(capsys, *command, "--stream").splitlines())
    (alone,) = map(json.loads, output_of(capsys, *command).splitlines())
    assert "".join(piece["text"] for piece in pieces) == result["text"] == alone["text"]
    assert [i for piece in pieces for i in piece["ids"]] == result["ids"] == alone["ids"]
    assert all(set(piece) == {"text", "ids"} for piece in pieces)
    assert len(pieces) > 1
    assert set(result) == set(alone)
    assert (result["prompt"], result["package"]) == (PROMPT, "sample")


def test_json_lines_of_ids(
    capsys: pytest.CaptureFixture[str], random_package: Callable[..., Path]
) -> None:
    command = ("generate", random_package(), "--ids", "5,6,7", "-n", 4, "--json", "--stream")
    *pieces, result = map(json.loads, output_of(capsys, *command).splitlines())
    assert [piece["text"] for piece in pieces] == [None] * 4
    assert [i for piece in pieces for i in piece["ids"]] == result["ids"]
    assert (result["prompt"], result["prompt_ids"]) == (None, [5, 6, 7])


def test_a_prompt_that_is_too_long_can_slide(
    capsys: pytest.CaptureFixture[str], random_package: Callable[..., Path]
) -> None:
    package = random_package(n_positions=16)
    ids = [5 + i % 7 for i in range(40)]
    command = ["generate", str(package), "-n", "5", "--ignore-eos", "--ids"]
    assert main([*command, ",".join(map(str, ids))]) == 2
    assert "--slide takes the end of it" in capsys.readouterr().err
    assert main([*command, ",".join(map(str, ids)), "--slide"]) == 0
    output = capsys.readouterr()
    assert output.err == "gpt2-edge: the prompt has 40 tokens; the last 16 of them count\n"
    expected = Generator.load(package).generate(
        ids[-16:], GenerationConfig(max_new_tokens=5, ignore_eos=True, context_overflow="slide")
    )
    assert output.out == ",".join(map(str, expected.ids)) + "\n"


def test_greedy_and_do_sample(capsys: pytest.CaptureFixture[str], sample_int4: Path) -> None:
    def seed_of(*arguments: str) -> object:
        line = output_of(capsys, "generate", sample_int4, "x", "-n", 1, "--json", *arguments)
        return json.loads(line)["seed"]

    assert seed_of() is None
    assert seed_of("--do-sample") is not None
    assert seed_of("--seed", "5") == 5
    assert seed_of("--seed", "5", "--greedy") is None


def test_next_with_the_settings_of_a_draw(
    capsys: pytest.CaptureFixture[str], sample_int4: Path
) -> None:
    command = ("next", sample_int4, "What do you", "--json", "-k", 50)
    assert len(json.loads(output_of(capsys, *command, "--top-k", 3))) == 3
    wild = json.loads(output_of(capsys, *command, "--temperature", 5))
    plain = json.loads(output_of(capsys, *command))
    assert wild[0]["probability"] < plain[0]["probability"]


class Terminal(io.StringIO):
    encoding = "ascii"

    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal_without_block_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Screen().bar(0.5, 10) == "#####     "
    assert Screen().bar(7, 4) == "####"
    assert Screen().bar(-1, 4) == "    "


def test_what_could_steer_a_terminal_is_shown_as_an_escape() -> None:
    assert without_steering("a\r\x1b\x7f\x85\u202e\u2028") == "a\\r\\x1b\\x7f\\x85\\u202e\\u2028"
    fine = "a\n\tb é 中 \u00a0 👩\u200d👩 \ufe0f"
    assert without_steering(fine) == fine


def test_json_is_one_printable_line_that_means_the_same() -> None:
    for value in ("é 中", "\x7f\x9b\u202e\u2028\ud800 👩\u200d👩", {"a\n": [1.5, None]}):
        line = json_line(value)
        assert line.isprintable()
        assert json.loads(line) == value
    assert json_line("é 中") == '"é 中"'
    assert json_line({"a": [math.inf, (-math.inf, 1.5)], "b": math.nan}) == (
        '{"a": [null, [null, 1.5]], "b": null}'
    )


def test_numbers_and_nouns() -> None:
    assert [counted(n, "token") for n in (0, 1, 2048)] == ["0 tokens", "1 token", "2,048 tokens"]


def test_a_closed_terminal_ends_the_command(sample_int4: Path) -> None:
    # What a terminal's window does when it is closed: SIGHUP, and no more output.
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "generate", str(sample_int4), PROMPT, *ENDLESS],
        stdin=its,
        stdout=its,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    os.close(its)
    os.read(ours, 10)
    time.sleep(0.5)
    os.close(ours)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (2, 129)
    assert errors.count(b"\n") <= 1
