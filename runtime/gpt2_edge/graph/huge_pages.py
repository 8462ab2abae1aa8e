"""Weights on huge pages, where Linux has them.

A step of one token reads every weight once, and with pages of 4 KB looking up addresses takes a
fifth to a third of that. ONNX Runtime's memory comes from malloc, which asks for no other pages, so
the system is asked afterwards (MADV_COLLAPSE, Linux 6.1; before, MADV_HUGEPAGE lets it do so in its
own time). Addresses and contents stay, and so does what the process takes.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from pathlib import Path

from gpt2_edge.graph.background import Beside, pause

_HUGE = 2 << 20  # bytes of a huge page where pages have 4 KB
_SMALLEST = 4 << 20
# Less is read in a millisecond anyway.
_WORTHWHILE = 32 << 20
# Seconds after loading in which the processor is the caller's: moving 200 MB takes half a second.
_PATIENCE = 1.0
# What is asked for at a time: a process that ends waits for one such call.
_PIECE = 8 * _HUGE
_HUGEPAGE, _COLLAPSE = 14, 25


def large_regions() -> dict[int, int]:
    """Where the process's large pieces of memory that is no file's begin and end; none where there
    is no such account.
    """
    try:
        return parse_regions(Path("/proc/self/maps").read_text("utf-8", "replace"))
    except OSError:
        return {}


def parse_regions(maps: str) -> dict[int, int]:
    """Those of the text of /proc/self/maps."""
    regions: dict[int, int] = {}
    for line in maps.splitlines():
        addresses, access, _, _, inode, *name = line.split(maxsplit=5)
        if access != "rw-p" or inode != "0" or (name and name[0] != "[heap]"):
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        if end - start >= _SMALLEST:
            regions[start] = end
    return regions


def use_huge_pages(before: Mapping[int, int]) -> None:
    """Put on huge pages, in a while and beside the caller, what has become large since
    `large_regions` gave `before`.
    """
    new = {start: end for start, end in large_regions().items() if before.get(start) != end}
    if sys.platform != "linux" or sum(new.values()) - sum(new) < _WORTHWHILE:
        return

    def work() -> None:
        if pause(_PATIENCE):
            for start, end in new.items():
                collapse(start, end)

    Beside(work)


def collapse(start: int, end: int) -> int:
    """Put the memory from `start` to `end` on huge pages: how many bytes the system took.

    What is no longer there, or cannot be put there, stays as it is.
    """
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    taken = 0
    last = end // _HUGE * _HUGE
    for piece in range(-(-start // _HUGE) * _HUGE, last, _PIECE):
        if not pause(0):
            break
        size = min(_PIECE, last - piece)
        madvise(piece, size, _HUGEPAGE)
        if madvise(piece, size, _COLLAPSE) == 0:
            taken += size
    return taken
