"""How long a package takes to load and to its first text, and what memory it then holds.

    python benchmarks/loading.py PACKAGE ...
    python benchmarks/loading.py PACKAGE --against ../older-checkout --rounds 9

Each package is measured without a machine's cache, and with one that has it; with --against, in
another checkout of this project too. Every measurement is a process of its own, all take turns
round by round, and the table shows medians.

load: Generator.load, modules being imported. first text: from the start of the command gpt2-edge
generate to the first byte that it writes. anonymous: of the whole Python process after 100 tokens,
what the system cannot drop (pages of mapped files are resident beside it). Linux only: it reads
/proc.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from run import processor

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("runtime", "export", "cli", "server")
LOADING = """
import json, sys, time
from gpt2_edge.generate import Generator
begun, used = time.perf_counter(), time.process_time()
generator = Generator.load(sys.argv[1])
seconds, used = time.perf_counter() - begun, time.process_time() - used
generator.generate([1, 2, 3], max_new_tokens=100)
lines = open("/proc/self/status").read().splitlines()
fields = (line.split() for line in lines if line.startswith("Rss"))
memory = {field[0].rstrip(":"): int(field[1]) * 1.024e-3 for field in fields}
figures = {"load": seconds, "load of a processor": used}
print(json.dumps(figures | {"anonymous": memory["RssAnon"], "mapped": memory["RssFile"]}))
"""
COLUMNS = {"load": "load s", "load of a processor": "of processor time s",
           "first text": "first text s", "anonymous": "anonymous MB",
           "mapped": "of mapped files MB"}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A package in a checkout, with a cache in `cache` or without one."""

    name: str
    package: Path
    checkout: Path
    cache: str

    def run(self) -> dict[str, float]:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment |= {
            "GPT2_EDGE_CACHE": self.cache,
            "PYTHONPATH": os.pathsep.join(str(self.checkout / folder) for folder in FOLDERS),
            # Compiled once, as an installed package is.
            "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "gpt2-edge-loading"),
        }
        loading = [sys.executable, "-c", LOADING, str(self.package)]
        told = subprocess.run(loading, env=environment, capture_output=True, check=True).stdout
        figures: dict[str, float] = json.loads(told)
        command = [sys.executable, "-m", "gpt2_edge_cli", "generate", str(self.package)]
        begun = time.perf_counter()
        with subprocess.Popen(
            [*command, "--ids", "1,2,3", "-n", "20"], env=environment, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            figures["first text"] = time.perf_counter() - begun
            process.stdout.read()
        return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="+", type=Path, metavar="PACKAGE")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="an older one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="begin no round after so many")
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        cases = []
        for package in arguments.packages:
            if arguments.against is not None:
                cases.append(Case(f"{package.name}, before", package, arguments.against, ""))
            cases.append(Case(f"{package.name}, without", package, ROOT, ""))
            cases.append(Case(f"{package.name}, with", package, ROOT, cache))
        for case in cases:  # files are read, modules compiled, and the cache is filled
            case.run()
        rounds: list[list[dict[str, float]]] = []
        while len(rounds) < arguments.rounds:
            if rounds and arguments.seconds and time.monotonic() - begun > arguments.seconds:
                break
            rounds.append([case.run() for case in cases])
    print(f"| package | {' | '.join(COLUMNS.values())} |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for number, case in enumerate(cases):
        medians = [statistics.median(one[number][key] for one in rounds) for key in COLUMNS]
        cells = [f"{value:.0f}" if value > 10 else f"{value:.3f}" for value in medians]
        print(f"| {case.name} | {' | '.join(cells)} |")
    print(f"\n{processor()}, {os.cpu_count()} processors, {len(rounds)} rounds")


if __name__ == "__main__":
    main()
