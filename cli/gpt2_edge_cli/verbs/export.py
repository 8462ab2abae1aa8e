"""gpt2-edge export: a checkpoint in, a package out."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import ExportError
from gpt2_edge.untrusted import printable, shown
from gpt2_edge_cli.long_work import prepare
from gpt2_edge_cli.offering import offer
from gpt2_edge_cli.parsing import VerbParser
from gpt2_edge_cli.signals import Loading, is_own_process
from gpt2_edge_cli.terminal import json_line

if TYPE_CHECKING:
    from gpt2_edge_export.export import ExportReport

_EXAMPLES = """CHECKPOINT is a Hugging Face folder, a name on the hub, or a nanoGPT ckpt.pt.

examples:
  gpt2-edge export gpt2 -o gpt2-int4
  gpt2-edge export ./my-fine-tune -o package --recipe int8
  gpt2-edge export out/ckpt.pt -o shakespeare --tokenizer gpt2-folder
  gpt2-edge export ./my-fine-tune -o package --max-kl 0.002
  gpt2-edge export ./my-fine-tune -o stock --recipe fp32 --engine optimum
"""

# What a shell completes. The exporter, which has these names too and checks them, takes a while to
# load; a test compares.
OFFERED = {
    "--recipe": ("int4", "int4-small", "int8", "int8-row", "fp16", "fp32"),
    "--cache-dtype": ("float32", "float16", "int8"),
    "--compute-dtype": ("float32", "float16"),
    "--flavour": ("fused", "portable", "static"),
    "--target": ("cpu", "cuda", "web", "mobile", "npu"),
    "--engine": ("fused", "optimum"),
    "--activation-function": (
        "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate", "gelu_fast", "gelu",
        "gelu_python", "gelu_10", "quick_gelu", "relu", "relu2", "relu6", "leaky_relu", "silu",
        "swish", "mish", "sigmoid", "tanh", "laplace", "linear", "prelu", "xielu",
    ),
}  # fmt: skip


def add_parser(verbs: Any) -> VerbParser:
    parser: VerbParser = verbs.add_parser(
        "export",
        help="turn a checkpoint into a package",
        description="Turn a GPT-2 or GPT-Neo checkpoint into a quantized ONNX package.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="what to export")
    add("-o", "--output", required=True, type=Path, metavar="FOLDER", help="the package to write")
    recipe = add(
        "--recipe",
        metavar="NAME",
        help="int4 (default), int4-small, int8, int8-row, fp16 or fp32 (docs/QUANTIZATION.md)",
    )
    offer(recipe, OFFERED["--recipe"])
    add(
        "--block-size", type=int, metavar="N", help="how many weights of int8 or int4 share a scale"
    )
    add(
        "--max-kl",
        type=float,
        metavar="X",
        help="instead of a recipe: the smallest package whose mean KL divergence from fp32 is "
        "under X nats per token (takes several exports' time)",
    )
    add("--max-size", type=float, metavar="MB", help="... the best whose model file is under MB")
    cache = add(
        "--cache-dtype",
        metavar="TYPE",
        help="of keys and values: float32 (default), float16, or int8 for a quarter of its memory",
    )
    offer(cache, OFFERED["--cache-dtype"])
    parser.keep_old_name(cache, "--cache")
    compute = add(
        "--compute-dtype",
        metavar="TYPE",
        help="of matrix products: float32 (default), or float16 for GPUs",
    )
    offer(compute, OFFERED["--compute-dtype"])
    parser.keep_old_name(compute, "--compute")
    flavour = add(
        "--flavour",
        metavar="NAME",
        help="graph variant: fused (default; CPU and GPU), portable (standard operators only), or "
        "static (fixed shapes, for NPUs and mobile providers)",
    )
    offer(flavour, OFFERED["--flavour"])
    add(
        "--past",
        type=int,
        metavar="N",
        help="static: capacity of the cache in tokens (default: the context)",
    )
    target = add(
        "--target",
        metavar="NAME",
        help="variant, recipe and cache for cpu, cuda, web, mobile or npu (docs/PROVIDERS.md)",
    )
    offer(target, OFFERED["--target"])
    calibration = parser.add_mutually_exclusive_group()
    calibration.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="calibration corpus (default: the exporter's own)",
    )
    calibration.add_argument(
        "--no-calibration",
        action="store_true",
        help="round weights to nearest: quicker, and less exact",
    )
    report = parser.add_mutually_exclusive_group()
    report.add_argument(
        "--report-text",
        type=Path,
        metavar="FILE",
        help="text to measure quality on (default: the exporter's own)",
    )
    report.add_argument("--no-report", action="store_true", help="do not measure the quality")
    engine = add(
        "--engine", default="fused", metavar="NAME", help="fused (default), or optimum's export"
    )
    offer(engine, OFFERED["--engine"])
    activation = add(
        "--activation-function", metavar="NAME", help="the model's, where the config is wrong"
    )
    offer(activation, OFFERED["--activation-function"])
    parser.keep_old_name(activation, "--activation")
    tokenizer = parser.add_mutually_exclusive_group()
    tokenizer.add_argument(
        "--tokenizer", type=Path, metavar="PATH", help="folder with a tokenizer, or tokenizer.json"
    )
    tokenizer.add_argument(
        "--no-tokenizer", action="store_true", help="a package that accepts and returns token ids"
    )
    add("--json", action="store_true", help="print the result as one JSON object")
    add("--force", action="store_true", help="replace an older package in FOLDER")
    return parser


def run(options: argparse.Namespace) -> int:
    if is_own_process():
        prepare()
    with Loading():
        from gpt2_edge_export import ExportOptions, export_package
        from gpt2_edge_export.graph.flavours import TARGETS
    searches = options.max_kl is not None or options.max_size is not None
    named = "--recipe" if options.recipe else "--block-size" if options.block_size else None
    if searches and named:
        raise ExportError(f"--max-kl and --max-size choose the formats; leave out {named}")
    if options.target is not None and options.target not in TARGETS:
        raise ExportError(f"--target {shown(options.target)} is not one of {', '.join(TARGETS)}")
    target = TARGETS[_given(options.target, "cpu")]
    report = export_package(
        options.checkpoint,
        options.output,
        ExportOptions(
            recipe=_given(options.recipe, target.recipe),
            engine=options.engine,
            tokenizer=False if options.no_tokenizer else options.tokenizer,
            block_size=options.block_size,
            activation_function=options.activation_function,
            calibration=False if options.no_calibration else options.calibration,
            report_text=options.report_text,
            report=not options.no_report,
            max_kl=options.max_kl,
            max_megabytes=options.max_size,
            cache_dtype=_given(options.cache_dtype, target.cache_dtype),
            flavour=_given(options.flavour, target.flavour),
            past=options.past,
            compute_dtype=_given(options.compute_dtype, target.compute_dtype),
            force=options.force,
        ),
    )
    if options.json:
        print(json_line(_as_json(report)))
    else:
        _print(report)
    return 0


def _given(value: str | None, otherwise: str) -> str:
    """What an option says; an empty text is no name, and is refused where names are checked."""
    return otherwise if value is None else value


def _as_json(report: ExportReport) -> dict[str, Any]:
    """What a program wants to know of an export; the manifest has the rest."""
    package, manifest = report.package, report.package.manifest
    test = manifest.self_test
    return {
        "folder": str(package.folder),
        "name": manifest.name,
        "recipe": manifest.recipe["name"],
        "bytes": package.total_bytes,
        "seconds": round(report.seconds, 3),
        "quality": manifest.quality,
        "self_test_tokens": len(test.expected_ids) if test else 0,
        "notes": list(report.notes),
        "frontier": [
            {
                "bytes": candidate.bytes,
                "in_4_bits": list(candidate.coarse),
                "predicted_kl": candidate.predicted_kl,
                "measured_kl": candidate.measured_kl,
            }
            for candidate in report.frontier
        ],
    }


def _print(report: ExportReport) -> None:
    from gpt2_edge_export.measure.report import quality_lines

    package, manifest = report.package, report.package.manifest
    for note in report.notes:
        print(f"note: {printable(note)}")
    for candidate in report.frontier:
        measured = candidate.measured_kl
        print(
            f"{candidate.bytes / 1e6:9.2f} MB of matrices, {len(candidate.coarse):3} in 4 bits: "
            f"KL +{candidate.predicted_kl:.5f} predicted"
            + ("" if measured is None else f", {measured:.5f} measured in all")
        )
    if manifest.quality:
        for line in quality_lines(manifest.quality):
            print(line)
    test = manifest.self_test
    checked = f"self-test of {len(test.expected_ids)} tokens" if test else "no self-test"
    print(
        f"{printable(str(package.folder))}: {printable(manifest.name)} as "
        f"{manifest.recipe['name']}, {package.total_bytes / 1e6:.1f} MB, {checked}, "
        f"{report.seconds:.1f} s"
    )
    folder = shlex.quote(str(package.folder))
    if folder.isprintable():
        what = '"The animal"' if manifest.tokenizer else "--ids 1,2,3"
        print(f"try: gpt2-edge generate {folder} {what} --temperature 0.8")
