"""examples/c, compiled for this machine or for another."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "examples" / "c" / "gpt2.c"
STRICT = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")


def build(tools: Path, capi: Path, folder: Path, target: str | None = None) -> Path:
    """The program, in `folder`, with ONNX Runtime's library from the wheel's folder `capi`.

    tools: what tools/embedded-tools.sh makes. target: as zig has it; None for this machine.
    """
    (library,) = capi.glob("libonnxruntime.so.1.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(library)
    zig = [str(tools / "bin" / "python"), "-m", "ziglang", "cc"]
    own = shutil.which("cc")
    compiler: Sequence[str] = [own] if own and not target else zig
    program = folder / "gpt2"
    arguments = [
        *compiler,
        *(["-target", target] if target else []),
        *STRICT,
        f"-I{tools / 'include' / 'onnxruntime'}",
        *("-o", str(program), str(SOURCE)),
        *(f"-L{folder}", "-lonnxruntime", "-lm", "-Wl,-rpath,$ORIGIN"),
    ]
    process = subprocess.run(arguments, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return program


def ids_of(command: Sequence[object]) -> list[int]:
    """The token ids that `command` prints."""
    process = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return [int(number) for number in process.stdout.split()]
