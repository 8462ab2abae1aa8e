"""What each recipe costs, plain and calibrated: the table of docs/QUANTIZATION.md.

python benchmarks/quality.py                       models/sample on the exporter's text
python benchmarks/quality.py ./my-model --text held-out.txt

Every export measures itself; this runs several and prints their reports side by side. The copy with
outliers is the same function in fp32: the outputs of its LayerNorms are scaled by up to 50, channel
by channel, and the weights behind them divided by the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.export import ExportOptions, export_package

SAMPLE = Path(__file__).resolve().parent.parent / "models" / "sample"
PLAIN = ExportOptions(calibration=False)
ROWS = {
    "fp32": ExportOptions(recipe="fp32"),
    "fp16": ExportOptions(recipe="fp16"),
    "int8, blocks of 32, plain": dataclasses.replace(PLAIN, recipe="int8", block_size=32),
    "int8, blocks of 32": ExportOptions(recipe="int8", block_size=32),
    "int8-row, plain": dataclasses.replace(PLAIN, recipe="int8-row"),
    "int8-row": ExportOptions(recipe="int8-row"),
    "int8": ExportOptions(recipe="int8"),
    "--max-kl 0.002": ExportOptions(max_kl=0.002),
    "int4, blocks of 32": ExportOptions(recipe="int4", block_size=32),
    "int4, plain": dataclasses.replace(PLAIN, recipe="int4"),
    "int4": ExportOptions(recipe="int4"),
    "int4, blocks of 64": ExportOptions(recipe="int4", block_size=64),
    "int4, blocks of 128": ExportOptions(recipe="int4", block_size=128),
    "int4-small, plain": dataclasses.replace(PLAIN, recipe="int4-small"),
    "int4-small": ExportOptions(recipe="int4-small"),
    "int4-small, blocks of 128, plain": dataclasses.replace(
        PLAIN, recipe="int4-small", block_size=128
    ),
    "int4-small, blocks of 128": ExportOptions(recipe="int4-small", block_size=128),
    "fp32, float16 cache": ExportOptions(recipe="fp32", cache_dtype="float16"),
    "fp32, int8 cache": ExportOptions(recipe="fp32", cache_dtype="int8"),
}
HARD = ("int8, blocks of 32, plain", "int8-row, plain", "int8-row", "int8", "int4, plain", "int4")


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--text", type=Path, help="to measure on (default: the exporter's)")
    parser.add_argument("--only", nargs="*", choices=ROWS, help="rows to print (default: all)")
    arguments = parser.parse_args()
    rows = arguments.only or list(ROWS)
    with tempfile.TemporaryDirectory() as folder:
        table(arguments.checkpoint, rows, arguments.text, Path(folder))
        if arguments.only is None:
            hard = write_hard_copy(arguments.checkpoint, Path(folder) / "hard")
            print("\nThe copy with outliers:\n")
            table(hard, list(HARD), arguments.text, Path(folder))


def table(checkpoint: Path, rows: list[str], text: Path | None, folder: Path) -> None:
    """Export in every way of `rows` and print what the reports say."""
    print("| recipe | model.onnx MB | perplexity | mean KL | 99% under | same top-1 | seconds |")
    print("|---|---|---|---|---|---|---|")
    quality = {}
    for name in rows:
        options = dataclasses.replace(ROWS[name], report_text=text, force=True)
        report = export_package(checkpoint, folder / "package", options)
        quality = report.package.manifest.quality or {}
        exact = "mean_kl" not in quality
        print(
            f"| {name} | {report.package.model_path.stat().st_size / 1e6:.2f} "
            f"| {quality['perplexity']:.2f} | {'' if exact else format(quality['mean_kl'], '.5f')} "
            f"| {'' if exact else format(quality['p99_kl'], '.4f')} "
            f"| {'' if exact else format(100 * quality['top1'], '.1f') + '%'} "
            f"| {report.seconds:.0f} |",
            flush=True,
        )
    print(f"\n{quality['tokens']:,} tokens of {quality['text']}.")


def write_hard_copy(checkpoint: Path, folder: Path, seed: int = 0) -> Path:
    """The same model in fp32, with outliers in the activations of its linear layers."""
    shutil.copytree(checkpoint, folder)
    prefix = "transformer."
    tensors = {
        name.removeprefix(prefix): value.astype(np.float32)
        for name, value in load_file(folder / "model.safetensors").items()
    }
    random = np.random.default_rng(seed)
    for layer in range(open_checkpoint(checkpoint).config.n_layer):
        for norm, linear in (("ln_1", "attn.c_attn"), ("ln_2", "mlp.c_fc")):
            weight = tensors[f"h.{layer}.{norm}.weight"]
            factors = 50 ** random.uniform(0, 1, len(weight)).astype(np.float32)
            tensors[f"h.{layer}.{norm}.weight"] = weight * factors
            tensors[f"h.{layer}.{norm}.bias"] *= factors
            tensors[f"h.{layer}.{linear}.weight"] /= factors[:, None]
    save_file(
        {f"{prefix}{name}": value for name, value in tensors.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
