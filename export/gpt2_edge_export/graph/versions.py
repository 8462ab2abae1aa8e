"""The first ONNX Runtime that runs a fused graph right, by what is in it."""

from __future__ import annotations

import onnxruntime as ort

from gpt2_edge.errors import ExportError
from gpt2_edge.untrusted import shown
from gpt2_edge_export.checkpoint.config import GPT2Config

# What the cache may hold. 1.23 is the first whose GatherBlockQuantized reads 8-bit tables, 1.27 the
# first whose attention takes an int8 cache on the CPU (onnxruntime pull request 28576; 1.26 loads
# such a graph and fails in the first step).
CACHE_MIN_ONNXRUNTIME = {"float32": "1.23", "float16": "1.23", "int8": "1.27"}
# The first whose local_window_size counts the token itself; before, one more was seen (onnxruntime
# pull request 25927).
_WINDOW_MIN_ONNXRUNTIME = "1.24"


def min_onnxruntime(config: GPT2Config, cache_dtype: str) -> str:
    """The first ONNX Runtime that runs the fused graph of `config` with such a cache right."""
    least = CACHE_MIN_ONNXRUNTIME[cache_dtype]
    if not config.has_windows:
        return least
    return max(least, _WINDOW_MIN_ONNXRUNTIME, key=_numbers)


def check_windows(config: GPT2Config, source: str) -> None:
    """ExportError where this ONNX Runtime could not run the fused graph's windows, if it has some.

    The package would be refused as well, but after all that calibration takes.
    """
    if config.has_windows and _numbers(ort.__version__) < _numbers(_WINDOW_MIN_ONNXRUNTIME):
        raise ExportError(
            f"{source} has attention windows, for which the fused graph needs ONNX Runtime "
            f"{_WINDOW_MIN_ONNXRUNTIME} or later, and this is {shown(ort.__version__)}: upgrade "
            "it, or export with --flavour portable"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
