"""The command with what a test expects of it, and a checkpoint to export."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cli.command import Cli, Completed, Output, run
from helpers import random_config, write_random_checkpoint


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Programs that ignore a signal hand that on: nohup, and a shell's background jobs."""
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Any run of the command."""

    def anyhow(*arguments: object, stdin: str | bytes = "") -> Completed:
        return run(*arguments, stdin=stdin, cwd=tmp_path)

    return anyhow


@pytest.fixture
def ok(cli: Cli) -> Output:
    """A run that must succeed without a word on standard error; its output."""

    def succeed(*arguments: object, stdin: str | bytes = "") -> str:
        process = cli(*arguments, stdin=stdin)
        assert process.stderr == ""
        assert process.returncode == 0
        return process.stdout

    return succeed


@pytest.fixture
def refused(cli: Cli) -> Output:
    """A run that must be refused: status 2, one line on standard error (returned), no output."""

    def refuse(*arguments: object, stdin: str | bytes = "") -> str:
        process = cli(*arguments, stdin=stdin)
        assert "Traceback" not in process.stderr
        assert process.stderr.startswith("gpt2-edge: ")
        assert process.stderr.count("\n") == 1
        assert process.stderr.endswith("\n")
        assert process.stdout == ""
        assert process.returncode == 2
        return process.stderr

    return refuse


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights without a tokenizer."""
    return write_random_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny", random_config())
