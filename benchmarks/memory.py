"""Peak memory of exporting a published shape, in every recipe.

    python benchmarks/memory.py 1558M          needs 14 GB of disk
    python benchmarks/memory.py 1558M --tokenizer gpt2-folder --layers 2

With a tokenizer int4 and int8 are calibrated, which takes minutes a layer of that width on 2 cores;
what it holds does not grow with the layers but for the packed matrices.

Anonymous memory is what the export itself holds; resident memory adds pages of mapped files, which
the system can drop at any time. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import threading
import time
from pathlib import Path

from random_checkpoint import SHAPES, write_random_checkpoint

from gpt2_edge_export.export import ExportOptions, export_package

RECIPES = ("int4", "int8", "fp32")
FIELDS = {"RssAnon": "anonymous", "VmRSS": "resident"}


def main() -> None:
    """Write a random checkpoint, export it, print a line a recipe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--tokenizer", type=Path, help="folder or tokenizer.json to calibrate with")
    parser.add_argument("--layers", type=int, help="write only so many")
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES))
    parser.add_argument("--work", type=Path, help="where to write (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        checkpoint = write_random_checkpoint(
            arguments.shape, Path(work) / "checkpoint", layers=arguments.layers
        )
        for recipe in arguments.recipes:
            # A fresh process each, so that one peak does not hide in another.
            context = multiprocessing.get_context("spawn")
            process = context.Process(
                target=measure, args=(checkpoint, Path(work), recipe, arguments.tokenizer)
            )
            process.start()
            process.join()


def measure(checkpoint: Path, work: Path, recipe: str, tokenizer: Path | None) -> None:
    """Export in this process and print its peaks."""
    peaks = dict.fromkeys(FIELDS, 0)
    threading.Thread(target=watch, args=(peaks,), daemon=True).start()
    options = ExportOptions(recipe=recipe, tokenizer=tokenizer or False, report=False)
    report = export_package(checkpoint, work / recipe, options)
    figures = ", ".join(f"{FIELDS[key]} {value / 1e6:.2f} GB" for key, value in peaks.items())
    size = report.package.total_bytes / 1e9
    print(f"{recipe}: {size:.2f} GB in {report.seconds:.0f} s, peak memory {figures}", flush=True)
    shutil.rmtree(report.package.folder)


def watch(peaks: dict[str, int]) -> None:
    """Keep the largest value of each field of /proc/self/status, in kB."""
    while True:
        for line in Path("/proc/self/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in peaks:
                peaks[key] = max(peaks[key], int(value.split()[0]))
        time.sleep(0.05)


if __name__ == "__main__":
    main()
