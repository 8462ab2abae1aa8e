"""Write what the tests of android_demo/core compare with: packages, and what Python makes of them.

python make_vectors.py FOLDER [--shared FOLDER]

Everything is computed here and now by the runtime in runtime/ and by Hugging Face tokenizers.
`--shared` is a folder with data/tokenizer, GPT-2's own vocabulary, where there is one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import changed_graphs
import generation_vectors
import make_unicode_classes
import onnxruntime
import sampling_vectors
import tokenizer_vectors
import tokenizers

from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.draft import Draft
from gpt2_edge_export.graph.plan import GraphPlan
from gpt2_edge_export.quantize import MatrixFormat, Recipe
from gpt2_edge_export.tokenizer.files import read_tokenizer

ROOT = Path(__file__).resolve().parents[5]
SAMPLE = ROOT / "models" / "sample"
PACKAGES = {
    "int8": ("--recipe", "int8"),
    "int8-row": ("--recipe", "int8-row"),
    "int4": ("--recipe", "int4"),
    "int4-float16-cache": ("--recipe", "int4", "--cache-dtype", "float16"),
    # Calibrated, as scales of an int8 cache have to be; any text will do here.
    "int4-int8-cache": (
        *("--recipe", "int4", "--cache-dtype", "int8"),
        *("--calibration", str(ROOT / "docs" / "ARCHITECTURE.md")),
    ),
    "no-tokenizer": ("--recipe", "int4", "--no-tokenizer"),
}
# What the Kotlin runtime has to refuse.
OTHER_FLAVOURS = {
    "portable": ("--recipe", "int8", "--flavour", "portable"),
    "static": ("--recipe", "fp32", "--flavour", "static"),
}
# The sample's weights as a GPT-Neo whose every second layer sees 8 tokens.
NEO = "gpt-neo"
_NEO_WINDOW = 8
MIXED = "mixed"
_MIXED_RECIPE = Recipe(
    "mixed",
    table=MatrixFormat(8, 32),
    linear=MatrixFormat(4, 64),
    special={
        "h.0.mlp.c_proj.weight": MatrixFormat(8),
        "h.5.mlp.c_proj.weight": MatrixFormat(8, 32),
        "attn.c_proj": MatrixFormat(4, 32),
    },
)
# In fp32 several times the tests' Java heap, and past the size from which weights lie in a file of
# their own; in int4 they are in the graph.
_LARGE_LAYERS = 4
_LARGE = {"large": ("--recipe", "fp32"), "large-int4": ("--recipe", "int4")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shared", type=Path)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    sources = fingerprint(arguments.shared)
    mark = folder / "fingerprint"  # written last
    if mark.exists() and mark.read_text() == sources:
        return
    sys.stderr.write("exporting packages and computing what to compare with\n")
    shutil.rmtree(folder, ignore_errors=True)
    packages = folder / "packages"
    packages.mkdir(parents=True)
    for name, options in (PACKAGES | OTHER_FLAVOURS).items():
        export(SAMPLE, packages / name, options)
    mixed_package(packages / MIXED)
    neo = neo_checkpoint(folder / "gpt-neo")
    export(neo, packages / NEO, ("--recipe", "int4"))
    shutil.rmtree(neo)
    for name, change in changed_graphs.CHANGES.items():
        changed_graphs.write(packages / "int4", packages / name, change)
    checkpoint = large_checkpoint(folder / "checkpoint")
    for name, options in _LARGE.items():
        export(checkpoint, packages / name, (*options, "--no-tokenizer"))
    shutil.rmtree(checkpoint)

    write(folder / "unicode.json", unicode_classes())
    write(folder / "sampling.json", sampling_vectors.vectors(random.Random(1)))
    kinds = tokenizer_vectors.vectors(
        folder / "tokenizers", SAMPLE, arguments.shared, random.Random(2)
    )
    write(folder / "tokenizers.json", kinds)
    write(folder / "generation.json", generation_vectors.vectors(packages, [*PACKAGES, MIXED, NEO]))
    mark.write_text(sources)


def fingerprint(shared: Path | None) -> str:
    """Of everything that what is written here depends on."""
    digest = hashlib.sha256(f"{onnxruntime.__version__} {tokenizers.__version__} {shared}".encode())
    for name in ("runtime", "export", "benchmarks", "models", "android_demo/core/src/test/python"):
        for path in sorted((ROOT / name).rglob("*")):
            if path.suffix in (".py", ".json", ".safetensors", ".txt", ".onnx"):
                digest.update(f"{path.relative_to(ROOT)}".encode() + path.read_bytes())
    digest.update((ROOT / "tests" / "gpt_neo.py").read_bytes())
    return digest.hexdigest()


def export(checkpoint: Path, package: Path, options: Sequence[str]) -> None:
    command = [sys.executable, "-m", "gpt2_edge", "export", str(checkpoint), "-o", str(package)]
    quick = ["--no-report", "--force"]
    if "--calibration" not in options:
        quick.append("--no-calibration")
    subprocess.run([*command, *options, *quick], check=True, stdout=subprocess.DEVNULL)


def mixed_package(folder: Path) -> None:
    """A recipe whose layers differ, as `--max-kl` writes it after a search of minutes."""
    checkpoint = open_checkpoint(str(SAMPLE))
    folder.mkdir()
    tokenizer = read_tokenizer(SAMPLE, checkpoint.config)
    draft = Draft(checkpoint, tokenizer, folder, "sample", GraphPlan(_MIXED_RECIPE))
    draft.write_beside()
    draft.finish(draft.write(draft.weights(None)))


def large_checkpoint(folder: Path) -> Path:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from random_checkpoint import write_random_checkpoint

    write_random_checkpoint("124M", folder, layers=_LARGE_LAYERS)
    return folder


def neo_checkpoint(folder: Path) -> Path:
    sys.path.insert(0, str(ROOT / "tests"))
    from gpt_neo import neo_of_gpt2

    return neo_of_gpt2(SAMPLE, folder, _NEO_WINDOW)


def unicode_classes() -> dict[str, str]:
    found = make_unicode_classes.classes()
    assert make_unicode_classes.stripped_spaces() == found["WHITE_SPACE"]
    return {name: make_unicode_classes.as_text(ranges) for name, ranges in found.items()}


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
