"""Export one GPT-2 shape in every recipe and measure all packages side by side.

    python benchmarks/run.py                 124M; optimum's export too where it is installed
    python benchmarks/run.py --shape 355M --rounds 5

Every measurement is a process of its own, the packages take turns round by round, and the table
shows medians over the rounds: so a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import onnxruntime
from random_checkpoint import SHAPES, write_random_checkpoint

ROOT = Path(__file__).resolve().parent.parent
EXPORTS = {
    "optimum fp32": ["--engine", "optimum", "--recipe", "fp32"],
    "fp32": ["--recipe", "fp32"],
    "int8 blocks": ["--recipe", "int8", "--block-size", "32"],
    "int8-row": ["--recipe", "int8-row"],
    "int8": ["--recipe", "int8"],
    "int4 plain": ["--recipe", "int4", "--no-calibration"],
    "int4": ["--recipe", "int4"],
    "int4-small": ["--recipe", "int4-small"],
}
COLUMNS = (
    "package", "MB", "export s", "load s", "first tok ms", "prefill 128", "prefill 512",
    "decode 128", "decode 900", "peak MB", "decode 128 x",
)  # fmt: skip


def main() -> None:
    """Build, export, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="124M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=ROOT / ".bench")
    parser.add_argument("--tokenizer", type=Path, help="folder or tokenizer.json to include")
    arguments = parser.parse_args()

    checkpoint = arguments.work / f"random-{arguments.shape}"
    if not (checkpoint / "model.safetensors").is_file():
        print(f"writing a random {arguments.shape} checkpoint to {checkpoint}", flush=True)
        write_random_checkpoint(arguments.shape, checkpoint)
    packages, export_seconds = {}, {}
    for name, options in EXPORTS.items():
        if name.startswith("optimum") and importlib.util.find_spec("optimum") is None:
            print("optimum is not installed: its row is left out (make bench OPTIMUM=1)")
            continue
        packages[name] = arguments.work / f"{arguments.shape}-{name.replace(' ', '-')}"
        tokenizer = (
            ["--tokenizer", str(arguments.tokenizer)] if arguments.tokenizer else ["--no-tokenizer"]
        )
        print(f"exporting {name}", flush=True)
        started = time.perf_counter()
        gpt2_edge(
            "export",
            str(checkpoint),
            "-o",
            str(packages[name]),
            "--force",
            "--no-report",
            *options,
            *tokenizer,
        )
        export_seconds[name] = time.perf_counter() - started
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in packages}
    for number in range(arguments.rounds):
        print(f"measuring, round {number + 1} of {arguments.rounds}", flush=True)
        for name, package in packages.items():
            rounds[name].append(json.loads(gpt2_edge("bench", str(package), "--json")))
    print_table(rounds, export_seconds, with_tokenizer=arguments.tokenizer is not None)


def gpt2_edge(*arguments: str) -> str:
    """Standard output of the command, in a process of its own."""
    process = subprocess.run(
        [sys.executable, "-m", "gpt2_edge", *arguments],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    if process.returncode:
        sys.exit(process.stderr.strip() or f"gpt2-edge {arguments[0]} failed")
    return process.stdout


def print_table(
    rounds: dict[str, list[dict[str, Any]]],
    export_seconds: dict[str, float],
    *,
    with_tokenizer: bool,
) -> None:
    """A Markdown table of medians, with the machine it was measured on."""

    def median(name: str, *keys: str) -> float:
        def value(figures: Any) -> float:
            for key in keys:
                figures = figures.get(key, float("nan"))
            return float(figures)

        return statistics.median(value(figures) for figures in rounds[name])

    base = "optimum fp32" if "optimum fp32" in rounds else "fp32"
    rows = [list(COLUMNS), ["---"] * len(COLUMNS)]
    for name in rounds:
        decode = median(name, "decode", "128")
        rows.append([
            name,
            f"{median(name, 'package_bytes') / 1e6:.1f}",
            f"{export_seconds[name]:.1f}",
            f"{median(name, 'load_seconds'):.2f}",
            f"{1e3 * median(name, 'first_token_seconds'):.0f}",
            f"{median(name, 'prefill', '128'):.0f}",
            f"{median(name, 'prefill', '512'):.0f}",
            f"{decode:.1f}",
            f"{median(name, 'decode', '900'):.1f}",
            f"{median(name, 'peak_memory_bytes') / 1e6:.0f}",
            f"{decode / median(base, 'decode', '128'):.2f}",
        ])  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    print()
    for row in rows:
        print(
            "| "
            + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            + " |"
        )
    print(
        f"\nprefill and decode in tokens per second, by prompt length and context; decode 128 x is "
        f"relative to {base}.\n{'With' if with_tokenizer else 'Without'} a tokenizer in the "
        f"package. ONNX Runtime {onnxruntime.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, {processor()}."
    )


def processor() -> str:
    """The processor's name, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file() and shutil.which("lscpu"):
        for line in subprocess.run(["lscpu"], capture_output=True, text=True).stdout.splitlines():
            if line.startswith("Model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
