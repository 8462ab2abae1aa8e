"""Large memory goes onto huge pages where the system has them, and keeps its contents."""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from gpt2_edge import Generator
from gpt2_edge.graph import huge_pages
from gpt2_edge.graph.cache import shared_buffers
from gpt2_edge.graph.huge_pages import collapse, large_regions, parse_regions, use_huge_pages

MB = 1 << 20
MAPS = """\
55e0c0a00000-55e0c1e00000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000300000 rw-p 00000000 00:00 0
7f0001000000-7f0001400000 rw-p 00000000 00:00 0
7f0002000000-7f0003000000 r--p 00000000 00:00 0
7f0004000000-7f0005000000 rw-p 00000000 fe:00 4711                       /a/folder with spaces
7f0006000000-7f0007000000 rw-p 00000000 00:00 0                          [stack]
7f0008000000-7f0009000000 rw-s 00000000 00:01 0
"""


def test_regions_are_large_writable_memory_of_no_file() -> None:
    heap, other = (0x55E0C0A00000, 0x55E0C1E00000), (0x7F0001000000, 0x7F0001400000)
    assert parse_regions(MAPS) == dict([heap, other])


def address_of(area: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(area))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's accounts of memory")
def test_memory_keeps_its_contents_and_is_huge_where_the_system_took_it() -> None:
    area = mmap.mmap(-1, 16 * MB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    contents = np.frombuffer(area, np.uint32)
    contents[:] = np.arange(contents.size, dtype=np.uint32)
    start = address_of(area)
    assert any(begin <= start < end for begin, end in large_regions().items())
    # From the middle of a page to the middle of another.
    taken = collapse(start + 4096, start + 16 * MB - 4096)
    assert taken <= 14 * MB
    assert (contents == np.arange(contents.size, dtype=np.uint32)).all()
    if taken:
        assert huge_bytes(start + 8 * MB) >= taken


def huge_bytes(address: int) -> int:
    """Bytes on huge pages of the region that `address` lies in."""
    inside = False
    for line in Path("/proc/self/smaps").read_text("utf-8", "replace").splitlines():
        region = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if region:
            inside = int(region[1], 16) <= address < int(region[2], 16)
        elif inside and line.startswith("AnonHugePages:"):
            return int(line.split()[1]) * 1024
    return 0


@pytest.mark.skipif(sys.platform != "linux", reason="madvise")
def test_what_is_not_there_is_left_alone() -> None:
    nowhere = 1 << 44
    assert collapse(nowhere, nowhere + 8 * MB) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's accounts of memory")
def test_only_what_is_new_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[tuple[int, int]] = []
    monkeypatch.setattr(huge_pages, "_PATIENCE", 0.0)
    monkeypatch.setattr(huge_pages, "Beside", lambda work: work())
    monkeypatch.setattr(huge_pages, "collapse", lambda *region: moved.append(region))
    old = mmap.mmap(-1, 64 * MB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    before = large_regions()
    use_huge_pages(before)
    assert not moved
    new = (1 << 40, (1 << 40) + 64 * MB)
    monkeypatch.setattr(huge_pages, "large_regions", lambda: {**before, new[0]: new[1]})
    use_huge_pages(before)
    assert moved == [new]
    old.close()


def test_a_cache_is_one_array(fp32: Generator) -> None:
    manifest = fp32.session.package.manifest
    architecture = manifest.architecture
    buffers = shared_buffers(architecture, manifest.graph, 2, 8)
    assert len(buffers) == 2 * architecture.num_layers
    for buffer in buffers:
        assert buffer.shape == (2, architecture.num_heads, 8, architecture.head_size)
        assert buffer.flags.c_contiguous
        assert not buffer.any()
        assert buffer.base is buffers[0].base
