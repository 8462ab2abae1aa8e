"""How much memory a package may take of the command's process.

How large the tensors of a graph become, only running it tells: a graph of 5 MB can ask for all that
the machine has, and Linux grants it until it ends some process. So the process's own limit
(RLIMIT_DATA: private memory that can be written, mapped weights not included) is set to what a
package of its size and architecture can need; beyond it an allocation fails, in one line. A library
cannot do that for its caller's process.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from gpt2_edge_cli.signals import is_own_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpt2_edge.files.manifest import Manifest

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# Libraries, ONNX Runtime's own and a tokenizer of the largest size.
_BASE = 1 << 30
# Stacks of three sessions' threads, whose size counts although nothing is in them.
_STACK, _SESSIONS = 8 << 20, 3
# Optimizing and packing weights, and saving the machine's form, takes 3 times their size.
_LOADING_TIMES = 8
# Far above what is made at one time: the decoder has 16 rows, scores some copies of the logits.
_ROWS, _LOGITS, _ATTENTIONS = 64, 8, 3
_ON_CPU = {"CPUExecutionProvider", "AzureExecutionProvider"}  # what the plain wheel has
_loaded: list[int] = []  # what each loaded package may need
_STATUS = Path("/proc/self/status")


def while_loading(folder: str, threads: int | None = None, provider: str = "cpu") -> bool:
    """Bound what loading the package in `folder` takes, with `threads` of ONNX Runtime.

    Whether it is bounded: on Linux only, not in a process that does other things as well, and not
    where another provider than the CPU comes into question, which counts memory in its own way.
    """
    if not (is_own_process() and _taken() is not None and _is_for_cpu(provider)):
        return False
    size = 0
    with suppress(OSError), os.scandir(folder) as entries:
        stats = [entry.stat() for entry in entries if entry.is_file()]
        size = sum(min(stat.st_size, 512 * stat.st_blocks) for stat in stats)  # no holes
    bound(sum(_loaded) + _BASE + _stacks(threads) + _LOADING_TIMES * size)
    return True


def while_running(manifest: Manifest, threads: int | None) -> None:
    """Bound what steps of a loaded package take, beside those of packages loaded before."""
    _loaded.append(_stacks(threads) + needed(manifest))
    bound(sum(_loaded))


def needed(manifest: Manifest) -> int:
    """Bytes that texts of the whole context may take, with caches, logits and attention."""
    architecture = manifest.architecture
    layers, heads, context = (
        architecture.num_layers,
        architecture.num_heads,
        architecture.context_length,
    )
    keys_and_values = 2 * layers * heads * architecture.head_size * context * 4
    logits = context * architecture.vocab_size * 4
    attention = layers * heads * context * context * 4
    return _BASE + _ROWS * keys_and_values + _LOGITS * logits + _ATTENTIONS * attention


def _is_for_cpu(provider: str) -> bool:
    import onnxruntime as ort

    return provider == "cpu" or set(ort.get_available_providers()) <= _ON_CPU


def _stacks(threads: int | None) -> int:
    return _SESSIONS * _STACK * (threads or os.cpu_count() or 1)


def bound(more: int) -> None:
    """Let the process take `more` bytes beyond what it has, if the system can be told."""
    taken = _taken()
    if taken is not None:
        _set(taken + more)


def lift() -> None:
    """Take the bound back: what follows is not a package's alone."""
    if _taken() is not None:
        _set(resource.RLIM_INFINITY)


def _set(limit: int) -> None:
    soft, hard = _before()
    limits = [value for value in (limit, soft) if value != resource.RLIM_INFINITY]
    with suppress(OSError, ValueError, OverflowError):
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits, default=soft), hard))


@cache
def _before() -> tuple[int, int]:
    """The limits that the process came with."""
    return resource.getrlimit(resource.RLIMIT_DATA)


def _taken() -> int | None:
    """Bytes that count towards the limit; None where there is no such account (not Linux)."""
    if resource is None:
        return None
    try:
        lines = _STATUS.read_text("utf-8", "replace").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
