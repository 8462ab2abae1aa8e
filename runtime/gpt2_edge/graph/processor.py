"""Which processor this is, as far as ONNX Runtime chooses its code by it."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_FIRST = 16 << 10  # bytes of it: those of one processor; a hundred of them take a while to be told
# What changes from one reading to the next, or between processors of one machine.
_CHANGING = ("processor", "cpu MHz", "bogomips", "BogoMIPS", "core id", "apicid", "initial apicid",
             "physical id", "siblings", "cpu cores", "microcode")  # fmt: skip


@functools.cache
def processor() -> str:
    """SHA-256 (hexadecimal) of the processor's name and what it can do.

    Linux tells all of it, Windows the model and the features that it knows, macOS the model.
    """
    # Not the module platform, which on Linux asks another program.
    machine = os.uname().machine if sys.platform != "win32" else ""
    told = [sys.platform, machine, *_features()]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _features() -> list[str]:
    if sys.platform == "win32":
        import ctypes

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return [
            os.environ.get("PROCESSOR_ARCHITECTURE", ""),
            os.environ.get("PROCESSOR_IDENTIFIER", ""),
            os.environ.get("PROCESSOR_REVISION", ""),
            *(str(number) for number in range(128) if present(number)),
        ]
    if sys.platform == "darwin":
        return [_sysctl("machdep.cpu.brand_string"), _sysctl("hw.cpufamily")]
    try:
        with _CPUINFO.open("rb") as file:
            text = file.read(_FIRST).decode("utf-8", "replace")
    except OSError:
        return []
    lines = text.partition("\n\n")[0].splitlines()
    return [line for line in lines if line.partition("\t")[0].strip(" :") not in _CHANGING]


def _sysctl(name: str) -> str:
    """The system's value called `name`, as bytes in hexadecimal; empty where it has none."""
    import ctypes
    import ctypes.util

    library = ctypes.CDLL(ctypes.util.find_library("c"))
    size = ctypes.c_size_t(256)
    buffer = ctypes.create_string_buffer(size.value)
    failed = library.sysctlbyname(name.encode(), buffer, ctypes.byref(size), None, 0)
    return "" if failed else buffer.raw[: size.value].hex()
