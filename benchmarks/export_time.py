"""Where the time of a calibrated export goes, from two slices of a published shape.

    python benchmarks/export_time.py 124M
    python benchmarks/export_time.py 1558M --layers 1 2 --report-tokens 1024

Each slice has so many layers of random weights and random ids: what takes time depends on sizes
alone. Calibration is timed matrix by matrix, the report on a few windows. All layers take what one
more layer takes times their number, and all of the report's tokens what these take times theirs.
"""

# ruff: noqa: E402

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

from gpt2_edge_cli.long_work import prepare

prepare()  # before NumPy is imported, as the command does

import numpy as np
from memory import FIELDS, watch
from random_checkpoint import SHAPES, write_random_checkpoint

from gpt2_edge import Generator
from gpt2_edge_export.calibrate import calibrate, efforts
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.measure.quality import compare
from gpt2_edge_export.measure.reference import FloatModel
from gpt2_edge_export.measure.report import REPORT_TOKENS
from gpt2_edge_export.quantize import RoundedWeights, make_recipe

WINDOW = 1024


def main() -> None:
    """Measure two slices and print what the whole shape takes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--recipe", default="int4")
    parser.add_argument("--layers", type=int, nargs=2, default=(1, 2), help="of the two slices")
    parser.add_argument("--windows", type=int, default=8, help="of 1,024 tokens to calibrate on")
    parser.add_argument("--report-tokens", type=int, default=2 * WINDOW)
    arguments = parser.parse_args()
    peaks = dict.fromkeys(FIELDS, 0)
    threading.Thread(target=watch, args=(peaks,), daemon=True).start()
    calibration, report = [], []
    for layers in arguments.layers:
        with tempfile.TemporaryDirectory() as work:
            folder = write_random_checkpoint(arguments.shape, Path(work) / "model", layers=layers)
            calibration.append(calibrated(folder, arguments.recipe, arguments.windows))
            report.append(reported(folder, arguments.recipe, arguments.report_tokens))
    everything = 0.0
    for what, seconds in (("calibration", calibration), ("report", report)):
        whole = extrapolated(arguments.layers, seconds, SHAPES[arguments.shape][0])
        print(f"{what}: {whole:.0f} s for all layers", flush=True)
        everything += whole
    memory = ", ".join(f"{FIELDS[key]} {value / 1e6:.2f} GB" for key, value in peaks.items())
    print(f"together {everything:.0f} s; peak memory of the slices {memory}")


def extrapolated(layers: tuple[int, int], seconds: list[float], wanted: int) -> float:
    """Seconds of `wanted` layers on the line through two measurements."""
    one_more = (seconds[1] - seconds[0]) / (layers[1] - layers[0])
    return seconds[0] + one_more * (wanted - layers[0])


def calibrated(folder: Path, recipe: str, windows: int) -> float:
    """Seconds of calibrating; prints those of each matrix, and their share as the bar has it."""
    source = RoundedWeights(open_checkpoint(folder))
    ids = np.random.default_rng(0).integers(0, source.config.vocab_size, (windows, WINDOW))
    expected = efforts(make_recipe(recipe), source.config, ids.size, WINDOW)
    times = [time.perf_counter()]
    calibrate(source, make_recipe(recipe), ids, lambda effort: times.append(time.perf_counter()))
    whole = times[-1] - times[0]
    for (name, effort), seconds in zip(expected.items(), np.diff(times), strict=True):
        share = effort / sum(expected.values())
        print(
            f"  {name:<24}{seconds:7.2f} s {seconds / whole:5.0%}, the bar's {share:.0%}",
            flush=True,
        )
    return whole


def reported(folder: Path, recipe: str, tokens: int) -> float:
    """Seconds of a whole report by those of `tokens`; prints the share of the layers in float32."""
    package = folder.parent / "package"
    export_package(folder, package, ExportOptions(recipe=recipe, tokenizer=False, report=False))
    source = RoundedWeights(open_checkpoint(folder))
    ids = np.random.default_rng(0).integers(0, source.config.vocab_size, tokens).tolist()
    started, done = time.perf_counter(), [0.0]
    candidate = Generator.load(package, verify=False)
    compare(FloatModel(source), candidate, ids, lambda count: done.append(done[-1] + count))
    seconds = time.perf_counter() - started
    assert round(done[-1]) == tokens
    print(f"  report of {tokens} tokens: {seconds:.2f} s", flush=True)
    return seconds * REPORT_TOKENS / tokens


if __name__ == "__main__":
    main()
