"""The server as its users start it: `gpt2-edge serve` in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

WAIT = 60.0  # seconds; machines that run tests are slow at times
COMMAND = [sys.executable, "-m", "gpt2_edge", "serve"]
_ADDRESS = re.compile(r"http://(127\.0\.0\.1):(\d+)")


@dataclass
class Served:
    """A running server. url: without a slash at its end; lines: what it has printed so far."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def metrics(self) -> dict[str, float]:
        """Each sample of /metrics by its name, with its labels where it has some."""
        text = httpx.get(f"{self.url}/metrics", timeout=WAIT).raise_for_status().text
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def memory(self) -> int:
        """Bytes of memory that the process holds now (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        return 1024 * int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])

    def threads(self) -> int:
        """How many threads the process has (Linux)."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))


@contextmanager
def served(package: Path, *options: object) -> Iterator[Served]:
    """A server of `package` on a free port, ended when the block ends."""
    command = [*COMMAND, str(package), "--port", "0", *map(str, options)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"},
    )
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda out: lines.extend(out), args=(process.stdout,))
    reader.start()
    try:
        yield Served(process, _address(process, lines), lines)
        assert process.poll() is None, f"the server ended by itself: {lines}"
    finally:
        process.terminate()
        try:
            process.wait(WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            reader.join(WAIT)
            process.stdout.close()


def _address(process: subprocess.Popen[str], lines: list[str]) -> str:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        found = _ADDRESS.search("".join(list(lines)))
        if found:
            url = f"http://{found[1]}:{found[2]}"
            if _answers(url):
                return url
        assert process.poll() is None, f"the server did not start: {lines}"
        time.sleep(0.05)
    raise AssertionError(f"the server tells no address: {lines}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=WAIT).status_code == 200
    except httpx.TransportError:
        return False
