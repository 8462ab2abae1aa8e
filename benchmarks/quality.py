"""What each recipe costs: export a checkpoint in every one and compare it with fp32 on a text.

python benchmarks/quality.py                       models/sample on its held-out text
python benchmarks/quality.py ./my-model --text held-out.txt
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from gpt2_edge import Generator
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.quality import compare

SAMPLE = Path(__file__).resolve().parent.parent / "models" / "sample"
RECIPES = (("int8", 32), ("int8", 128), ("int4", 32), ("int4", 64), ("int4", 128))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--text", type=Path, default=SAMPLE / "heldout.txt")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:

        def export(recipe: str, block_size: int | None) -> Generator:
            package = Path(folder) / f"{recipe}-{block_size}"
            options = ExportOptions(recipe=recipe, block_size=block_size)
            export_package(arguments.checkpoint, package, options)
            return Generator.load(package)

        reference = export("fp32", None)
        if reference.tokenizer is None:
            parser.error(f"{arguments.checkpoint} has no tokenizer to read the text with")
        ids = reference.tokenizer.encode(arguments.text.read_text(encoding="utf-8"))
        print("| recipe | block | model.onnx MB | perplexity | mean KL | same top-1 |")
        print("|---|---|---|---|---|---|")
        for recipe, block_size in (("fp32", None), *RECIPES):
            candidate = reference if recipe == "fp32" else export(recipe, block_size)
            quality = compare(reference, candidate, ids)
            megabytes = candidate.package.model_path.stat().st_size / 1e6
            print(
                f"| {recipe} | {block_size or ''} | {megabytes:.2f} | {quality.perplexity:.2f} "
                f"| {quality.mean_kl:.4f} | {100 * quality.top1:.1f}% |",
                flush=True,
            )
    print(f"\n{len(ids):,} tokens of {arguments.text.name}, in windows of the context length.")


if __name__ == "__main__":
    main()
