"""Ctrl-C ends a text, signals end the command in one line and leave nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.command import COMMAND, ENVIRONMENT
from cli.started import default_signals, started
from gpt2_edge_cli.signals import Loading, Signals

# Stops where all files are written but for the manifest, and waits for the signal there.
EXPORT_THAT_WAITS = """
import signal, sys, time
from gpt2_edge_cli.main import main
from gpt2_edge_export import draft

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

def wait(generator):
    print("waiting", flush=True)
    for _ in range(600):  # a signal just before a sleep is heard behind it
        time.sleep(0.1)

draft.make_self_test = wait
sys.exit(main())
"""


ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
ENDLESS = ("--ignore-eos", "--slide", "-n", "1000000")

# Waits for a signal where modules are being imported: C code turns an exception that is raised
# there into an ImportError, Python code may catch it, and a callback of the importer drops it.
INTERRUPTED_IMPORT = """
import importlib.abc, sys, time
from gpt2_edge_cli.main import main

class Waits(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == NAME:
            print("waiting", flush=True)
            try:
                for _ in range(600):
                    time.sleep(0.1)
            except BaseException as error:
                raise ImportError("initialization failed") from error

sys.meta_path.insert(0, Waits())
sys.exit(main())
"""


def test_an_interrupt_ends_the_text_where_it_is(sample_int4: Path) -> None:
    with started(*COMMAND, "generate", sample_int4, "One day", *ENDLESS) as process:
        assert process.stdout is not None
        beginning = process.stdout.read(100)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors == b""
    assert len(beginning) == 100
    assert rest.endswith(b"\n")
    (beginning + rest).decode()  # ends with a whole character


def test_a_second_interrupt_ends_the_command(sample_int4: Path) -> None:
    # The first one waits for the writer, which waits for its reader.
    with started(*COMMAND, "generate", sample_int4, "One day", *ENDLESS) as process:
        assert process.stdout is not None
        process.stdout.read(100)
        time.sleep(1)
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
            if process.poll() is None:
                process.stdout.read(4096)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) in [(130, b"gpt2-edge: interrupted\n"), (0, b"")]


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize(
    ("verb", "module"),
    [("next", "gpt2_edge_cli.verbs.next_words"), ("next", "onnxruntime"), ("bench", "onnxruntime"),
     ("export", "onnx"), ("export", "argparse")],
)  # fmt: skip
def test_a_signal_while_modules_load(
    number: signal.Signals, verb: str, module: str, sample_int4: Path, tmp_path: Path
) -> None:
    code = INTERRUPTED_IMPORT.replace("NAME", repr(module))
    more = ("-o", tmp_path / "out") if verb == "export" else ()
    if module == "argparse":
        code = "import sys; sys.modules.pop('argparse', None)\n" + code
    with started(sys.executable, "-c", code, verb, sample_int4, *more) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    message = b"gpt2-edge: interrupted\n" if number == signal.SIGINT else b""
    assert (process.returncode, errors) == (128 + number, message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_is_ignored_stays_ignored(number: signal.Signals, sample_int4: Path) -> None:
    def ignore() -> None:  # as nohup does, and a shell for its background jobs
        default_signals()
        signal.signal(number, signal.SIG_IGN)

    command = (*COMMAND, "generate", sample_int4, "One day", "-n", "2000", "--slide")
    with started(*command, "--ignore-eos", prepare=ignore) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.send_signal(number)
        process.send_signal(number)
        rest, errors = process.communicate(timeout=100)
    assert (process.returncode, errors) == (0, b"")
    assert len(rest) > 2000


def test_verify_interrupted_is_no_difference(sample_int4: Path) -> None:
    code = (
        "import sys, time\n"
        "from gpt2_edge_cli.main import main\n"
        "from gpt2_edge.graph.session import TokenSequence\n"
        "def wait(*_, **__):\n"
        "    print('waiting', flush=True)\n"
        "    for _ in range(600):\n"
        "        time.sleep(0.1)\n"
        "TokenSequence.prefill = TokenSequence.feed = wait\n"
        "sys.exit(main())"
    )
    with started(sys.executable, "-c", code, "verify", sample_int4) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"hashes     ok")
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (130, b"", b"gpt2-edge: interrupted\n")


@pytest.mark.parametrize("number", ENDS)
def test_a_second_signal_does_not_break_the_clean_up(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    signal.signal(number, signal.SIG_DFL)
    cleaned = []

    def end_and_clean_up() -> None:
        try:
            signal.raise_signal(number)
        finally:
            for other in ENDS:
                if signal.getsignal(other) is not signal.SIG_IGN:
                    signal.raise_signal(other)
            cleaned.append(True)

    try:
        with Signals(own_process=False), pytest.raises((KeyboardInterrupt, SystemExit)):
            end_and_clean_up()
        assert signal.getsignal(number) == signal.SIG_DFL  # as it was
    finally:
        signal.signal(number, before)
    assert cleaned


def test_an_interrupt_that_a_destructor_swallows_comes_again() -> None:
    class Swallows:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Signals(own_process=False), Loading():  # which must not end this process
            Swallows()
            began = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                time.sleep(20)
            assert time.monotonic() - began < 10  # it ends the wait
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        (signal.SIGTERM, 143, ""),
        (signal.SIGHUP, 129, ""),
        (signal.SIGINT, 130, "gpt2-edge: interrupted\n"),
    ],
)
def test_a_signal_during_an_export_leaves_nothing(
    tiny_checkpoint: Path, tmp_path: Path, number: signal.Signals, status: int, message: str
) -> None:
    arguments = ["export", str(tiny_checkpoint), "-o", str(tmp_path / "package")]
    process = subprocess.Popen(
        [sys.executable, "-c", EXPORT_THAT_WAITS, *arguments, "--no-tokenizer"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    (partial,) = tmp_path.iterdir()
    assert (partial / "new" / "model.onnx").stat().st_size > 1000
    process.send_signal(number)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (status, message)
    assert list(tmp_path.iterdir()) == []
