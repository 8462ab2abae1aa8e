"""Standard streams that are closed, full, endless or directories; arguments that are no text."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from cli.command import COMMAND, ENVIRONMENT
from gpt2_edge import GenerationConfig, Generator
from gpt2_edge_cli import registry as verbs
from gpt2_edge_cli.arguments import PROMPT_LIMIT
from gpt2_edge_cli.main import main

POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX")


def in_shell(line: str, **variables: object) -> subprocess.CompletedProcess[bytes]:
    """The line in a shell, where $GPT2_EDGE is the command."""
    command = f'gpt2_edge() {{ "{sys.executable}" -m gpt2_edge "$@"; }}; {line}'
    environment = ENVIRONMENT | {name: str(value) for name, value in variables.items()}
    return subprocess.run(["sh", "-c", command], capture_output=True, env=environment)


@POSIX
@pytest.mark.parametrize(
    ("line", "status", "out", "err"),
    [
        ("gpt2_edge generate $P <&-", 2, b"", b"gpt2-edge: standard input is closed; give"),
        ("gpt2_edge generate $P x -n 2 >&-", 2, b"", b"gpt2-edge: standard output is closed"),
        ("gpt2_edge generate $P x -n 2 2>&-", 0, None, b""),
        ("gpt2_edge generate /nowhere 2>&-", 2, b"", b""),
        ("gpt2_edge generate /nowhere <&- >&- 2>&-", 2, b"", b""),
        ("gpt2_edge --no-such 2>&-", 2, b"", b""),
        ("gpt2_edge generate $P -f / -n 2", 2, b"", b"gpt2-edge: / cannot be read as text: "),
        ("gpt2_edge generate $P -n 2 < /dev/null", 2, b"", b"gpt2-edge: the prompt is empty"),
    ],
)  # fmt: skip
def test_closed_streams(
    sample_int4: Path, line: str, status: int, out: bytes | None, err: bytes
) -> None:
    process = in_shell(line, P=sample_int4)
    assert process.returncode == status
    assert process.stdout == out if out is not None else process.stdout
    assert process.stderr.startswith(err)
    assert process.stderr.count(b"\n") == bool(err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("gpt2_edge --help > /dev/full", 1),
        ("gpt2_edge > /dev/full", 1),
        ("gpt2_edge --version > /dev/full", 1),
        ("gpt2_edge generate --help > /dev/full", 1),
        ("gpt2_edge generate /nowhere 2> /dev/full", 0),
        ("gpt2_edge info $P > /dev/full", 1),
    ],
)
def test_full_streams(sample_int4: Path, line: str, lines: int) -> None:
    process = in_shell(line, P=sample_int4)
    assert process.returncode == 2
    assert process.stderr.count(b"\n") == lines
    assert b"Exception" not in process.stderr


@POSIX
def test_what_libraries_print_goes_into_no_file(tmp_path: Path) -> None:
    # With 0, 1 and 2 closed, the next files that are opened would take these numbers.
    code = (
        "import os, sys\n"
        "from gpt2_edge_cli.streams import hold_places\n"
        "hold_places()\n"
        "file = open('file', 'wb')\n"
        "os._exit(0 if file.fileno() > 2 else 1)"
    )
    process = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "$CODE" <&- >&- 2>&-'],
        env=ENVIRONMENT | {"CODE": code},
        cwd=tmp_path,
    )
    assert process.returncode == 0


class Endless(io.RawIOBase):
    """The same content again and again."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        times = len(buffer) // len(self._content)
        buffer[: times * len(self._content)] = self._content * times
        return times * len(self._content)


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        (["generate"], b"\0", f"standard input has more than {PROMPT_LIMIT >> 20} MB of text"),
        (["generate", "--jsonl", "-"], b"\0", "standard input, line 1: it has more than 4 MB"),
        (
            ["generate", "--jsonl", "-"],
            b'{"prompt": "a"}\n',
            "standard input cannot be read (it has more than 8 MB)",
        ),
        (["chat"], b"\0", "a line has more than 256 MB: it seems endless"),
        (["next", "x", "-i"], b"\0", "a line of standard input has more than 64 KB"),
    ],
)
def test_endless_input_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sample_fp32: Path,
    arguments: list[str],
    content: bytes,
    message: str,
) -> None:
    monkeypatch.setattr("gpt2_edge_cli.writing.prompt_lines.TEXT_LIMIT", 8 << 20)
    endless = io.TextIOWrapper(io.BufferedReader(Endless(content)))
    monkeypatch.setattr("sys.stdin", endless)
    assert main([arguments[0], str(sample_fp32), *arguments[1:]]) == 2
    assert capsys.readouterr().err == f"gpt2-edge: {message}\n"


@POSIX
def test_a_working_directory_that_is_no_more(sample_fp32: Path, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    line = 'cd "$GONE" && rmdir "$GONE" && gpt2_edge generate package x'
    process = in_shell(line, GONE=tmp_path / "gone")
    assert process.returncode == 2
    message = b"gpt2-edge: the working directory is no more; change to another one\n"
    assert process.stderr == message


def test_a_library_that_does_not_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sample_fp32: Path
) -> None:
    def load(*_: object) -> None:
        raise ImportError("x.so: failed to map segment from shared object")

    monkeypatch.setattr("gpt2_edge.files.package.open_package", load)
    assert main(["info", str(sample_fp32)]) == 2
    assert capsys.readouterr().err == "gpt2-edge: there is not enough memory for this\n"


def test_a_text_file_is_read_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sample_fp32: Path,
    tmp_path: Path,
) -> None:
    file = tmp_path / "text"
    with file.open("wb") as target:
        target.truncate((64 << 20) + 1)
    assert main(["score", str(sample_fp32), "--file", str(file)]) == 2
    assert capsys.readouterr().err == (
        f"gpt2-edge: {file} cannot be read as text: it has more than 64 MB\n"
    )


@pytest.mark.parametrize("content", [b"One day", b"One day\n", b"\xef\xbb\xbfOne day\r\n"])
def test_input_and_files_are_read_alike(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sample_int4: Path,
    tmp_path: Path,
    content: bytes,
) -> None:
    file = tmp_path / "prompt"
    file.write_bytes(content)
    for arguments in (["-f", str(file)], ["--file", str(file)], ["-"], [], ["-f", "-"]):
        # Whatever the locale says.
        stdin = io.TextIOWrapper(io.BytesIO(content), encoding="latin-1")
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["generate", str(sample_int4), "-n", "4", *arguments]) == 0
        expected = Generator.load(sample_int4).generate(
            "One day", GenerationConfig(max_new_tokens=4)
        )
        assert capsys.readouterr().out == f"{expected.text}\n"
        if "-" not in arguments and arguments:
            stdin = io.TextIOWrapper(io.BytesIO(content))
            monkeypatch.setattr("sys.stdin", stdin)
            assert main(["next", str(sample_int4), *arguments, "-k", "1"]) == 0
            capsys.readouterr()


def test_a_prompt_is_given_once(
    capsys: pytest.CaptureFixture[str], sample_int4: Path, tmp_path: Path
) -> None:
    for arguments in (["x", "-f", "y"], ["--ids", "1", "-f", "y"], ["x", "--ids", "1"]):
        assert main(["generate", str(sample_int4), *arguments]) == 2
        assert capsys.readouterr().err.endswith(", not both\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["generate", "PKG", "caf\udce9"], "the text is not UTF-8: caf\\udce9"),
        (["next", "PKG", "caf\udce9"], "the text is not UTF-8"),
        (["score", "PKG", "caf\udce9"], "the text is not UTF-8"),
        (["generate", "PKG", "x", "--stop", "\udcff"], "--stop is not UTF-8"),
        (["generate", "PKG", "--ids", "\udcff"], "--ids takes whole numbers, not '\\udcff'"),
        (["generate", "PKG", "-f", "\udcff"], "\\udcff cannot be read as text"),
        (["score", "PKG", "--file", "\udcff"], "\\udcff cannot be read as text"),
        (["generate", "\udcff", "x"], "\\udcff: no such package folder"),
        (["generate", "PKG", "x", "--provider", "\udcff"], "\\udcff"),
        (["generate", "PKG", "x", "--\udcff"], "\\udcff"),
        (["\udcff"], "there is no verb '\\udcff'"),
        (["generate", "a\x1b]0;x\x07\nb", "x"], "a\\x1b]0;x\\x07\\nb: no such package folder"),
        (["generate", "PKG", "x", "-n", "1" * 5000], "takes a smaller number"),
        (["generate", "PKG", "x", "--threads", "9" * 30], "--threads is 9999"),
        (["generate", "PKG", "x", "--threads", "100000"], "it must be at least 1 and at most"),
        (["bench", "PKG", "--threads", "-1"], "--threads is -1"),
        (["generate", "PKG", "x", "--temperature", "nan"], "temperature is nan"),
        (["generate", "x" * 100_000], "File name too long"),
        (["generate", "PKG", "--ids", "1," * 100_000], "context holds 512"),
        (["generate", "PKG", "x", "--stream"], "--stream goes with --json"),
    ],
)
def test_odd_arguments(
    capsys: pytest.CaptureFixture[str], sample_int4: Path, arguments: list[str], expected: str
) -> None:
    given = [str(sample_int4) if argument == "PKG" else argument for argument in arguments]
    assert main(given) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert expected in output.err
    assert output.err.count("\n") == 1
    assert len(output.err) < 1200
    assert output.err[:-1].isprintable()


def test_absurd_numbers_that_mean_something(
    capsys: pytest.CaptureFixture[str], sample_int4: Path
) -> None:
    package = str(sample_int4)
    for arguments in (
        ["generate", package, "x", "-n", "2", "--seed", "9" * 40],
        ["generate", package, "x", "-n", "2", "--temperature", "1e308"],
        ["generate", package, "x", "-n", "2", "--temperature", "1e-320"],
        ["generate", package, "x", "-n", "2", "--top-k", "9" * 40],
    ):
        assert main(arguments) == 0
        assert capsys.readouterr().err == ""
    assert main(["next", package, "x", "-k", "9" * 40]) == 0
    assert capsys.readouterr().out.count("\n") == 8192


class PanicException(BaseException):
    """As the tokenizers library raises it."""


@pytest.mark.filterwarnings("ignore")  # --debug shows them
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PanicException("called `Option::unwrap()`\n\x1b"), "internal error: PanicException: call"),
        (MemoryError(), "there is not enough memory for this"),
        (RecursionError("too deep"), "internal error: RecursionError"),
        (KeyError("x" * 100_000), "internal error: KeyError: 'xxx"),
        (ImportError("initialization failed"), "internal error: ImportError"),
        (OSError(24, "Too many open files", "a\nb"), "a\\nb: Too many open files"),
        (OSError("no number"), "internal error: OSError: no number"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_whatever_a_verb_raises_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    line: str,
) -> None:
    def fail(*_: object) -> int:
        warnings.warn("overflow encountered in cast", RuntimeWarning, stacklevel=1)
        with warnings.catch_warnings():
            warnings.simplefilter("always")  # as libraries do
            warnings.warn("you can set weights_only to False", UserWarning, stacklevel=1)
        raise error

    verb = verbs.load_verb("completion")
    monkeypatch.setattr("gpt2_edge_cli.verbs.completion.run", fail)
    assert verb.run is not fail
    assert main(["completion", "bash"]) == (130 if isinstance(error, KeyboardInterrupt) else 2)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"gpt2-edge: {line}")
    assert output.err.count("\n") == 1
    assert output.err[:-1].isprintable()
    assert len(output.err) < 1100
    if not isinstance(error, KeyboardInterrupt):
        with pytest.raises(type(error)):
            main(["completion", "bash", "--debug"])


@POSIX
def test_a_home_that_cannot_be_written(sample_int4: Path) -> None:
    another = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    another = another if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        Path(folder).chmod(0o755)
        package = shutil.copytree(sample_int4, Path(folder) / "package")
        try:
            subprocess.run([*another, *COMMAND, "--version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("another user cannot run this Python")
        process = subprocess.run(
            [*another, *COMMAND, "generate", str(package), "x", "-n", "2"],
            capture_output=True,
            env=ENVIRONMENT | {"HOME": "/nonexistent"},
        )
    assert process.stderr == b""
    assert process.returncode == 0


def test_a_generation_leaves_nothing_in_an_empty_home(sample_int4: Path, tmp_path: Path) -> None:
    unset = ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "ORT_DISABLE_TELEMETRY")
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in unset}
    process = subprocess.run(
        [*COMMAND, "generate", str(sample_int4), "x", "-n", "2"],
        capture_output=True,
        env=environment | {"HOME": str(tmp_path)},
    )
    assert (process.returncode, process.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == []
