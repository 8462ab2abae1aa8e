"""gpt2-edge serve as a process: what it says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.served import PATIENCE, error_of

ENDLESS: dict[str, Any] = {
    "prompt": "A", "max_tokens": 16384, "ignore_eos": True, "context_overflow": "slide",
    "stream": True,
}  # fmt: skip
posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's here")


@dataclass
class Command:
    process: subprocess.Popen[str]
    url: str
    said: list[str]

    def ended(self) -> int:
        return self.process.wait(PATIENCE)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpt2_edge_cli", "serve", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@contextmanager
def started(package: Path, *options: str) -> Iterator[Command]:
    process = subprocess.Popen(
        [sys.executable, "-m", "gpt2_edge_cli", "serve", str(package), "--port", "0",
         "--threads", "1", *options],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line.rstrip())
            if " at http" in line:
                break
        (address,) = (word for word in said[-1].split() if word.startswith("http"))
        rest = threading.Thread(target=lambda: said.extend(map(str.rstrip, process.stderr or ())))
        rest.start()
        yield Command(process, address, said)
    finally:
        process.kill()
        process.wait(PATIENCE)
        rest.join(PATIENCE)
        process.stderr.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the limits of a process")
def test_the_bound_on_a_package_is_gone_once_it_serves(sample_int4: Path) -> None:
    """It counts what one text of the package may take; the server counts its rows by itself."""

    def limit(process: int | str) -> str:
        lines = Path(f"/proc/{process}/limits").read_text().splitlines()
        return next(line for line in lines if line.startswith("Max data size"))

    with started(sample_int4) as command:
        assert limit(command.process.pid) == limit("self")


@posix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_ends_by_a_signal(sample_fp32: Path, number: int, status: int) -> None:
    with started(sample_fp32) as command:
        assert httpx.get(f"{command.url}/health", timeout=PATIENCE).status_code == 200
        command.process.send_signal(number)
        assert command.ended() == status
    assert command.said[0].startswith("sample at http://127.0.0.1:")
    assert len(command.said) == 1


@posix
def test_running_texts_are_cut_behind_the_grace(sample_fp32: Path) -> None:
    with started(sample_fp32, "--grace", "1") as command:
        with httpx.stream("POST", f"{command.url}/v1/completions", json=ENDLESS,
                          timeout=PATIENCE) as answer:  # fmt: skip
            lines = answer.iter_lines()
            next(lines)
            command.process.send_signal(signal.SIGTERM)
            told = [line.removeprefix("data: ") for line in lines if line]
        assert told[-1] == "[DONE]"
        assert json.loads(told[-2])["choices"][0]["finish_reason"] == "length"
        assert command.ended() == 143
    assert not any("Traceback" in line for line in command.said)


@posix
def test_nothing_new_while_it_ends_and_a_second_signal_cuts(sample_fp32: Path) -> None:
    with started(sample_fp32, "--grace", "600") as command:
        with httpx.stream("POST", f"{command.url}/v1/completions", json=ENDLESS,
                          timeout=PATIENCE) as answer:  # fmt: skip
            lines = answer.iter_lines()
            next(lines)
            command.process.send_signal(signal.SIGTERM)
            with httpx.Client(base_url=command.url, timeout=PATIENCE) as other:
                while other.get("/health").status_code == 200:
                    pass
                error_of(other.get("/health"), 503)
                for path in ("/v1/completions", "/next", "/score", "/tokenize"):
                    refusal = other.post(path, json={"prompt": "A"})
                    assert error_of(refusal, 503)["code"] == "shutting_down"
                    assert int(refusal.headers["retry-after"]) >= 1
            assert json.loads(next(line for line in lines if line)[6:])["choices"]  # it goes on
            command.process.send_signal(signal.SIGTERM)
            told = [line for line in lines if line]
        assert told[-1] == "data: [DONE]"
        assert command.ended() == 143


def test_a_port_in_use(sample_fp32: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = run(sample_fp32, "--port", port)
    assert process.returncode == 2
    advice = "--port takes another, and 0 a free one"
    assert process.stderr == f"gpt2-edge: 127.0.0.1:{port} is in use; {advice}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "no-such-host.invalid"], "there is no host"),
        (["--host", "192.0.2.1"], "no address of this machine"),
        (["--port", "70000"], "from 0 to 65535"),
        (["--port", "http"], "--port takes a whole number"),
        (["--max-rows", "0"], "--max-rows is 0"),
        (["--max-queue", "-1"], "--max-queue is -1"),
        (["--max-cache-mb", "nan"], "--max-cache-mb is nan"),
        (["--max-cache-mb", "1e305"], "--max-cache-mb is 1e+305"),
        (["--max-cache-mb", "1"], "raise --max-cache-mb"),
        (["--grace", "-1"], "--grace is -1"),
        (["--timeout", "0"], "--timeout is 0"),
        (["--api-key", "a", "--api-key-file", "b"], "not both"),
        (["--api-key", ""], "a key is printable ASCII"),
        (["--api-key-file", "/no/such/file"], "there is no such file"),
        (["--cors", "example.org"], "give an origin"),
    ],
)
def test_what_cannot_be_is_one_line(sample_fp32: Path, arguments: list[str], words: str) -> None:
    process = run(sample_fp32, "--port", "0", *arguments)
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.count("\n") == 1
    assert words in process.stderr


def test_fewer_rows_are_told(sample_fp32: Path) -> None:
    with started(sample_fp32, "--max-cache-mb", "30") as command:
        assert command.said[0] == "--max-cache-mb has room for 4 of 8 rows"
        assert command.said[1].endswith("(4 rows); Ctrl-C ends it")


def test_an_open_server_is_told(sample_fp32: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-secret-1\n")
    for options, words in (([], "keeps them out"), (["--api-key-file", str(key)], "can reach it")):
        with started(sample_fp32, "--host", "0.0.0.0", *options) as command:
            assert command.url.startswith("http://0.0.0.0:")
            port = command.url.rpartition(":")[2]
            url = f"http://127.0.0.1:{port}"
            assert httpx.get(f"{url}/health", timeout=PATIENCE).status_code == 200
            wanted = 401 if options else 200
            assert httpx.get(f"{url}/model", timeout=PATIENCE).status_code == wanted
            with_key = {"Authorization": "Bearer sk-secret-1"}
            answer = httpx.get(f"{url}/model", headers=with_key, timeout=PATIENCE)
            assert answer.status_code == 200
            command.process.terminate()
            command.ended()
        assert any("warning" in line and line.endswith(words) for line in command.said)
        assert not any("secret" in line for line in command.said)


@pytest.mark.parametrize("missing", ["uvicorn", "starlette", "msgspec", "prometheus_client"])
def test_without_the_extra(sample_fp32: Path, missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from gpt2_edge_cli.main import main\n"
        f"sys.exit(main(['serve', {str(sample_fp32)!r}]))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert process.returncode == 2
    assert f"serve needs {missing}" in process.stderr
    assert "[server]" in process.stderr
    assert process.stderr.count("\n") == 1


def test_its_help_loads_no_server() -> None:
    code = (
        "import sys\nfrom gpt2_edge_cli.main import main\n"
        "try:\n    main(['serve', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'starlette', 'uvicorn', 'onnxruntime', 'numpy', 'asyncio', 'msgspec'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert process.stderr == "[]\n"
    assert "--api-key-file" in process.stdout
