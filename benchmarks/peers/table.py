"""Medians, ratios, Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from peers.rounds import Measured


@dataclass(frozen=True)
class Column:
    """title: in the table; key: of a worker's figures, or None for the size of the files."""

    title: str
    key: str | None
    digits: int
    scale: float = 1.0
    more_is_better: bool = False


COLUMNS = (
    Column("file MB", None, 1),
    Column("load s", "load", 2),
    Column("first token ms", "first", 0, 1e3),
    Column("prefill 128", "prefill 128", 0, more_is_better=True),
    Column("prefill 512", "prefill 512", 0, more_is_better=True),
    Column("decode 128", "decode 128", 1, more_is_better=True),
    Column("decode 900", "decode 900", 1, more_is_better=True),
    Column("batch of 8", "batch", 0, more_is_better=True),
    Column("memory MB", "resident", 0),
    Column("anonymous MB", "anonymous", 0),
    Column("peak MB", "peak", 0),
)

# (title, ours, peer, column): ratios that are of interest by themselves.
PAIRS = tuple(
    (ours, peer, column)
    for column, pairs in (
        ("decode 128", (("ours int4", "llama.cpp Q4_K_M"), ("ours int4", "llama.cpp Q4_0"),
                        ("ours int4 --block-size 128", "llama.cpp Q4_K_M"),
                        ("ours int4 --block-size 128", "llama.cpp Q4_0"),
                        ("ours int8", "llama.cpp Q8_0"))),
        ("decode 900", (("ours int4", "llama.cpp Q4_K_M"),
                        ("ours int4 --block-size 128", "llama.cpp Q4_K_M"))),
        ("prefill 512", (("ours int4", "OpenVINO GenAI int4"),
                         ("ours int4, prompts in 8 bits", "OpenVINO GenAI int4"),
                         ("ours int8-row", "OpenVINO GenAI int8"))),
    )
    for ours, peer in pairs
)  # fmt: skip


def speed_table(measured: Mapping[str, Measured]) -> Iterator[str]:
    """The lines of the table: a row for each engine, then ours to the best peer of as many bits."""
    rows = [["", *(column.title for column in COLUMNS)], ["---"] * (1 + len(COLUMNS))]
    failed = []
    for name, result in measured.items():
        if result.failed is not None or not result.rounds:
            failed.append(f"{name}: {result.failed or 'was not run'}")
            rows.append([name, "not measured, see below", *[""] * (len(COLUMNS) - 1)])
            continue
        rows.append([name, *(_shown(value(result, c) * c.scale, c.digits) for c in COLUMNS)])
    for bits in (4, 8):
        rows.append([f"ours to the best peer, {bits} bits", *_best(measured, bits)])
    yield from markdown(rows)
    if failed:
        yield ""
        yield from (f"- {line}" for line in failed)


def pairs_table(measured: Mapping[str, Measured]) -> Iterator[str]:
    """Ratios of PAIRS: the median over the rounds of what both had in the same round."""
    rows = [["", "ours / peer", "least", "most"], ["---"] * 4]
    for ours, peer, key in PAIRS:
        ratios = [
            mine[key] / theirs[key]
            for mine, theirs in zip(_rounds(measured, ours), _rounds(measured, peer), strict=False)
            if key in mine and key in theirs
        ]
        if ratios:
            figures = (statistics.median(ratios), min(ratios), max(ratios))
            rows.append([f"{key}: {ours} / {peer}", *(f"{each:.2f}" for each in figures)])
    if len(rows) > 2:
        yield from markdown(rows)


def value(result: Measured, column: Column) -> float:
    """The median over the rounds; not a number where a row has none."""
    if column.key is None:
        return result.megabytes
    found = [figures[column.key] for figures in result.rounds if column.key in figures]
    return statistics.median(found) if found else math.nan


def markdown(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Cells in columns as wide as their widest; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "| " + " | ".join(cells) + " |"


def _best(measured: Mapping[str, Measured], bits: int) -> Iterator[str]:
    """Our best by the peers' best, over 1 where ours is ahead, and whose theirs is."""
    for column in COLUMNS:
        found: dict[bool, list[tuple[float, str]]] = {True: [], False: []}
        for name, result in measured.items():
            figure = value(result, column)
            if result.bits == bits and result.rounds and math.isfinite(figure):
                found[result.ours].append((figure, name))
        pick: Callable[[list[tuple[float, str]]], tuple[float, str]]
        pick = max if column.more_is_better else min
        if not (found[True] and found[False]):
            yield ""
            continue
        (ours, _), (theirs, name) = pick(found[True]), pick(found[False])
        ratio = ours / theirs if column.more_is_better else theirs / ours
        yield f"{ratio:.2f} {_short(name)}"


def _short(name: str) -> str:
    """What tells a peer in a narrow cell."""
    return name.replace("OpenVINO GenAI", "OpenVINO").replace("llama.cpp ", "").partition(",")[0]


def _rounds(measured: Mapping[str, Measured], name: str) -> list[dict[str, float]]:
    found = measured.get(name)
    return found.rounds if found is not None and found.failed is None else []


def _shown(figure: float, digits: int) -> str:
    return f"{figure:,.{digits}f}" if math.isfinite(figure) else ""
