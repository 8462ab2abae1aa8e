"""Workers in turn, round by round, each in a process of its own."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers.engines import Row, Runner
from peers.environments import SetupError, outside_variables
from peers.formats import size

LIMIT = 300  # seconds of one worker
WRAP = "BENCH_WRAP"  # a command in front of each worker's, such as one that takes a lock


@dataclass
class Measured:
    """One row's figures of each round; `failed` says why there are none."""

    bits: int
    ours: bool
    megabytes: float = math.nan
    rounds: list[dict[str, float]] = field(default_factory=list)
    failed: str | None = None


def measure(
    rows: Sequence[Row],
    work: Mapping[str, Any],
    rounds: int,
    keep: Callable[[dict[str, Measured]], object] = lambda measured: None,
) -> dict[str, Measured]:
    """Run every row once a round. A row that fails keeps what it said first and is run no more.

    keep: is told of what there is after every run, for somebody who ends it before its end.
    """
    measured = {row.name: Measured(row.bits, row.ours) for row in rows}
    runners: dict[str, Runner] = {}
    for row in rows:
        try:
            runner = runners[row.name] = row.prepare()
            measured[row.name].megabytes = size(runner.model) / 1e6
        except (SetupError, OSError, ValueError) as error:
            measured[row.name].failed = str(error)
    for number in range(rounds):
        for name, runner in runners.items():
            result = measured[name]
            if result.failed is None:
                print(f"round {number + 1} of {rounds}: {name}", flush=True)
                figures = run_worker(runner, work)
                if isinstance(figures, str):
                    result.failed = figures
                else:
                    result.rounds.append(figures)
                keep(measured)
    return measured


def run_worker(runner: Runner, work: Mapping[str, Any]) -> dict[str, float] | str:
    """The figures that a worker prints, or in one line why there are none."""
    line = json.dumps({**work, **runner.options, "model": str(runner.model)}) + "\n"
    command = [*shlex.split(os.environ.get(WRAP, "")), str(runner.python), str(runner.worker)]
    variables = outside_variables(runner.own)
    # What torch, OpenBLAS and others would otherwise take from the number of cores.
    variables |= {"OMP_NUM_THREADS": str(work["threads"]), "HF_HUB_OFFLINE": "1"}
    try:
        process = subprocess.run(
            command, input=line, capture_output=True, text=True, errors="replace",
            check=False, timeout=LIMIT, env=variables | runner.environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"ran for more than {LIMIT} s"
    except OSError as error:
        return f"{Path(command[0]).name}: {error.strerror}"
    return parse(process.stdout, process.stderr, process.returncode)


def parse(output: str, errors: str, status: int) -> dict[str, float] | str:
    """A worker's last line as figures; otherwise what went wrong, in one line."""
    lines = output.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        found = None
    if isinstance(found, dict) and isinstance(found.get("error"), str):
        return str(found["error"])
    if status == 0 and isinstance(found, dict):
        if all(isinstance(value, (int, float)) for value in found.values()):
            return {str(name): float(value) for name, value in found.items()}
        return "printed what are no figures"
    if status < 0:
        return f"was ended by signal {-status}"
    last = errors.strip().splitlines()[-1:] or ["and printed nothing"]
    return f"ended with status {status}: {last[0][:160]}"
