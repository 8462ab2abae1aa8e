"""What the command sets for its own process before an export."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import ENVIRONMENT

EXPORT = """
import os, sys
import gpt2_edge_cli.verbs.export as verb
prepare = verb.prepare
def seen():
    prepare()
    print(sorted({"numpy", "onnxruntime"} & sys.modules.keys()))
    print(os.environ["OPENBLAS_THREAD_TIMEOUT"])
verb.prepare = seen
from gpt2_edge_cli.main import main
sys.exit(main())
"""

EMBEDDED = """
import os
import gpt2_edge_cli.verbs.export as verb
verb.prepare = lambda: print("prepared")
from gpt2_edge_cli.main import main
print(main(["export", "no-such-folder", "-o", "package"]))
print("OPENBLAS_THREAD_TIMEOUT" in os.environ)
"""

ARGUMENTS = ("export", "no-such-folder", "-o", "package")

FREED = """
import re, sys
from gpt2_edge_cli.long_work import prepare
if sys.argv[1] == "prepared":
    prepare()
import numpy as np
for _ in range(3):
    array = np.ones(200_000_000, np.uint8)
    del array
print(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def python(code: str, *arguments: str, cwd: Path | None = None, **variables: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=ENVIRONMENT | variables,
        cwd=cwd,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return process.stdout


def test_an_export_prepares_before_numpy_is_there(tmp_path: Path) -> None:
    assert python(EXPORT, *ARGUMENTS, cwd=tmp_path).split() == ["[]", "20"]


def test_what_somebody_has_set_stays(tmp_path: Path) -> None:
    shown = python(EXPORT, *ARGUMENTS, cwd=tmp_path, OPENBLAS_THREAD_TIMEOUT="26")
    assert shown.split() == ["[]", "26"]


def test_another_program_s_process_is_left_alone(tmp_path: Path) -> None:
    assert python(EMBEDDED, cwd=tmp_path).split() == ["2", "False"]


@pytest.mark.skipif(sys.platform != "linux", reason="the GNU C library's allocator")
def test_freed_memory_stays_with_the_process() -> None:
    kept, given_back = (int(python(FREED, which)) for which in ("prepared", "as it is"))
    assert kept > given_back + 150_000  # kB
