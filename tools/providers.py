"""Run packages of the sample model, or of another, on every execution provider that is here.

    python tools/providers.py --python openvino=PATH --python webgpu=PATH

A provider comes in a wheel of its own, so each has its own Python, named by --python; `make
test-providers` makes them. Prints the table of docs/PROVIDERS.md; the exit status is 1 if a row
that ran gave other tokens than the CPU where it must not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gpt2_edge.graph.providers import PROVIDERS
from gpt2_edge_export.export import ExportOptions, export_package

ROOT = Path(__file__).resolve().parent.parent
PROMPT, TOKENS, REPEATS = "It was a dark night, and the", 24, 3
# A GPU in software takes a second a token and more; there one run of a few tokens must do.
SOFTWARE = {"webgpu": (6, 1)}
TIMEOUT = 300  # seconds for one package on one provider
# (flavour, recipe, what matrices are multiplied in)
PACKAGES = (
    ("fused", "fp32", "float32"),
    ("fused", "int8", "float32"),
    ("fused", "int4", "float32"),
    ("fused", "fp16", "float16"),
    ("fused", "int4", "float16"),
    ("portable", "fp32", "float32"),
    ("portable", "int8", "float32"),
    ("portable", "int4", "float32"),
    ("static", "fp32", "float32"),
    ("static", "int8", "float32"),
)
BASE = "fused int8"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", action="append", default=[], metavar="PROVIDER=PATH")
    parser.add_argument(
        "--checkpoint", type=Path, default=ROOT / "models" / "sample", help="what is exported"
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".providers")
    options = parser.parse_args()
    started = time.monotonic()
    options.work.mkdir(parents=True, exist_ok=True)
    pythons = {"cpu": sys.executable} | dict(entry.split("=", 1) for entry in options.python)
    tokenizer = any(options.checkpoint.glob("tokenizer*.json"))
    packages = {
        _name(*package): _export(options.checkpoint, options.work, tokenizer, *package)
        for package in PACKAGES
        # It finds its scales on a text.
        if tokenizer or package[:2] != ("static", "int8")
    }

    rows, wrong = [], []
    reference = {name: _run(pythons["cpu"], folder, "cpu") for name, folder in packages.items()}
    base = reference[BASE]
    for provider in PROVIDERS:
        if provider not in pythons:
            rows.append(
                [provider, "all", f"not run here: {PROVIDERS[provider].source}", "", "", ""]
            )
            continue
        for name, folder in packages.items():
            if provider == "cpu":
                record = reference[name]
            else:
                record = _run(pythons[provider], folder, provider)
            if "error" in record:
                reason = _short(record["error"])
                rows.append([provider, name, f"not loaded: {reason}", "", "", ""])
                if provider == "cpu" or _must_run(provider, name):
                    wrong.append(f"{provider}, {name}: {record['error']}")
                continue
            tokens = len(record["ids"])
            same = _same(record["ids"], reference[name]["ids"][:tokens])
            if same < tokens and _must_equal(name):
                wrong.append(f"{provider}, {name}: only {same} of {tokens} tokens as on the CPU")
            rows.append([
                provider,
                name,
                f"all {tokens}" if same == tokens else f"the first {same} of {tokens}",
                ", ".join(f"{count} {taker}" for taker, count in record["nodes"].items()),
                _ratio(record["prefill"], base["prefill"]),
                _ratio(record["decode"], base["decode"]),
            ])  # fmt: skip
    _print(rows)
    print(f"{time.monotonic() - started:.0f} s in all", file=sys.stderr)
    for line in wrong:
        print(f"wrong: {line}", file=sys.stderr)
    return 1 if wrong else 0


def _name(flavour: str, recipe: str, compute: str) -> str:
    return f"{flavour} {recipe}" + (" in float16" if compute == "float16" else "")


def _export(
    checkpoint: Path, work: Path, tokenizer: bool, flavour: str, recipe: str, compute: str
) -> Path:
    folder = work / _name(flavour, recipe, compute).replace(" ", "-")
    print(f"exporting {folder.name}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)  # it may be of an earlier version
    options = ExportOptions(
        recipe=recipe,
        flavour=flavour,
        compute_dtype=compute,
        cache_dtype=compute,
        report=False,
        calibration=None if flavour == "static" else False,
        tokenizer=tokenizer,
    )
    return export_package(checkpoint, folder, options).package.folder


def _run(python: str, package: Path, provider: str) -> dict[str, Any]:
    print(f"{provider}: {package.name}", file=sys.stderr, flush=True)
    worker = ROOT / "tools" / "provider_worker.py"
    effort = map(str, SOFTWARE.get(provider, (TOKENS, REPEATS)))
    try:
        process = subprocess.run(
            [python, worker, package, provider, PROMPT, *effort],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "runtime")},
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {TIMEOUT} s"}
    if process.returncode or not process.stdout.strip():
        said = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
        return {"error": said[-1]}
    record: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return record


def _must_run(provider: str, name: str) -> bool:
    """Whether it failed for no known reason: the graph is one that the provider takes."""
    flavour = name.split()[0]
    return flavour in PROVIDERS[provider].flavours and "float16" not in name


def _must_equal(name: str) -> bool:
    """Float graphs have the CPU's tokens; rounded activations may turn a near tie over."""
    return "fp" in name


def _same(ids: list[int], others: list[int]) -> int:
    """How many tokens agree before the first that does not."""
    pairs = zip(ids, others, strict=True)
    return next((i for i, (one, other) in enumerate(pairs) if one != other), len(ids))


def _ratio(rate: float, base: float) -> str:
    ratio = rate / base
    return f"{ratio:.2f}" if ratio >= 0.01 else f"{ratio:.4f}"


def _short(reason: str) -> str:
    """The end of what ONNX Runtime or the process said last."""
    last = reason.rsplit(" says ", 1)[-1].rsplit(": ", 1)[-1]
    return last[-120:].replace("|", "/")


def _print(rows: list[list[str]]) -> None:
    head = ["provider", "package", "tokens equal to the CPU's", "nodes", "prefill x", "decode x"]
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(row) + " |")
    print(f"\nprefill of 64 tokens and decoding relative to {BASE} on the CPU.")


if __name__ == "__main__":
    sys.exit(main())
