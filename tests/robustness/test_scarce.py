"""A process that is short of files or memory gets a result or one line, and no hang."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

resource = pytest.importorskip("resource")

_LOAD = """
import resource, sys
import gpt2_edge.generate
from gpt2_edge import GenerationConfig, Generator, GPT2EdgeError

kind, amount, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if kind == "files":
    resource.setrlimit(resource.RLIMIT_NOFILE, (amount, amount))
else:
    with open("/proc/self/status") as status:
        used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmSize"))
    limit = used + (amount << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    ids = Generator.load(folder).generate([5, 7, 3], GenerationConfig(max_new_tokens=2)).ids
    print("ids", len(ids))
except GPT2EdgeError as error:
    print("line", str(error).isprintable())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
@pytest.mark.parametrize(
    ("kind", "amount"),
    [("files", 4), ("files", 8), *(("memory", n) for n in (0, 2, 8, 16, 26, 64))],
)
def test_one_line_or_a_result(package: Path, kind: str, amount: int) -> None:
    process = subprocess.run(
        [sys.executable, "-c", _LOAD, kind, str(amount), str(package)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.stderr == ""
    assert process.stdout in ("ids 2\n", "line True\n")
    assert process.returncode == 0
