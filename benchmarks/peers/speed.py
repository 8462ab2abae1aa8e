"""Measure the peers beside ours: `make bench-peers`.

    make bench-peers BENCH_PEERS="--rounds 3 --only ours,llama.cpp"
    make bench-peers BENCH_PEERS="--table .bench/peers/124M.json"     prints what was measured

Every measurement is a process of its own, the engines take turns round by round, and the table
shows medians over the rounds.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from random_checkpoint import SHAPES
from run import processor

from peers.engines import Row, all_rows
from peers.environments import LLAMA_FLAGS, ROOT, Environments
from peers.formats import Formats, random_checkpoint
from peers.rounds import Measured, measure
from peers.table import pairs_table, speed_table

WORK = {
    "vocab": 50257, "first_prompt": 16, "steady": 101, "prefill": [128, 512],
    "contexts": [128, 900], "decoded": 64, "rows": 8, "row_prompt": 32, "row_new": 65, "repeats": 3,
}  # fmt: skip
NOTE = """\
Prefill, decode and batch are tokens per second, by prompt length, context and rows (8 texts of 64
tokens behind prompts of 32); the first token is that of a process's first prompt, of 16 tokens,
without loading. Memory is read after 100 tokens behind that prompt: the whole process, resident and
of it anonymous (not pages of mapped files); peak is the largest at the end of it all, prompts of
900 and the batch included. Ratios are over 1 where ours is ahead."""


def main() -> None:
    """Install, convert, measure, print."""
    parser = argparse.ArgumentParser(
        prog="make bench-peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shape", choices=SHAPES, default="124M")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", metavar="A,B", help="rows of these names or beginnings")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench" / "peers")
    parser.add_argument("--llama-flags", default="", metavar="FLAGS", help=LLAMA_FLAGS)
    parser.add_argument("--add", action="store_true", help="to the rounds that are there already")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print what was measured before")
    arguments = parser.parse_args()
    if arguments.table is not None:
        print_tables(*read(arguments.table))
        return
    if arguments.rounds < 1 or arguments.threads < 1:
        parser.error("--rounds and --threads are at least 1")
    environments = Environments(arguments.work.resolve(), arguments.llama_flags)
    checkpoint = random_checkpoint(arguments.shape, environments.work / f"random-{arguments.shape}")
    formats = Formats(checkpoint, environments.work / arguments.shape, environments)
    rows = chosen(all_rows(formats, environments), arguments.only)
    if not rows:
        parser.error(f"--only {arguments.only} is no row's beginning")
    results = environments.work / f"{arguments.shape}.json"
    before = read(results)[0] if arguments.add and results.is_file() else {}
    machine = describe(arguments.threads)

    def keep(measured: dict[str, Measured]) -> None:
        write(results, together(before, measured), machine)

    measured = measure(rows, WORK | {"threads": arguments.threads}, arguments.rounds, keep)
    keep(measured)  # where nothing could be run
    print_tables(together(before, measured), machine)


def chosen(rows: list[Row], only: str | None) -> list[Row]:
    """Those named in the comma-separated `only`, in any case; what is no name may begin some."""
    if only is None:
        return rows
    asked = {part.strip().lower() for part in only.split(",") if part.strip()}
    beginnings = tuple(asked - {row.name.lower() for row in rows})
    return [
        row for row in rows if row.name.lower() in asked or row.name.lower().startswith(beginnings)
    ]


def together(before: Mapping[str, Measured], now: Mapping[str, Measured]) -> dict[str, Measured]:
    """Rounds of both; what failed now and did not before keeps what it had."""
    found = dict(before)
    for name, result in now.items():
        earlier = found.get(name)
        if earlier is None or (earlier.failed is not None and not earlier.rounds):
            found[name] = result
        elif result.failed is None:
            found[name] = dataclasses.replace(result, rounds=earlier.rounds + result.rounds)
    return found


def describe(threads: int) -> str:
    """The machine and the day, for the foot of the table."""
    return (
        f"{threads} threads, {os.cpu_count()} cores, {processor()}, Python "
        f"{platform.python_version()}, {datetime.date.today().isoformat()}"
    )


def write(path: Path, measured: Mapping[str, Measured], machine: str) -> None:
    """Everything that was measured, as JSON."""
    rows = {name: dataclasses.asdict(result) for name, result in measured.items()}
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", "utf-8")


def read(path: Path) -> tuple[dict[str, Measured], str]:
    """What `write` wrote."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return {name: Measured(**row) for name, row in found["rows"].items()}, found["machine"]


def print_tables(measured: Mapping[str, Measured], machine: str) -> None:
    """The table, the ratios, and what they mean."""
    print("", *speed_table(measured), "", *pairs_table(measured), "", NOTE, "", sep="\n")
    counts = sorted({len(result.rounds) for result in measured.values() if result.rounds})
    rounds = " to ".join(str(count) for count in {counts[0], counts[-1]}) if counts else "no"
    print(f"Medians of {rounds} rounds. {machine}.")


if __name__ == "__main__":
    main()
