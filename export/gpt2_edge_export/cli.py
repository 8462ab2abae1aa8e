"""gpt2-edge export: a checkpoint in, a package out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import GPT2EdgeError, MissingDependencyError

if TYPE_CHECKING:
    from gpt2_edge_export.export import ExportReport

_EXAMPLES = """CHECKPOINT is a Hugging Face folder, a name on the hub, or a nanoGPT ckpt.pt.

examples:
  gpt2-edge export gpt2 -o gpt2-int4
  gpt2-edge export ./my-fine-tune -o package --recipe int8
  gpt2-edge export out/ckpt.pt -o shakespeare --tokenizer gpt2-folder
  gpt2-edge export ./my-fine-tune -o stock --recipe fp32 --engine optimum
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "export",
        help="turn a checkpoint into a package",
        description="Turn a GPT-2 checkpoint into a quantized ONNX package.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="what to export")
    add("-o", "--output", required=True, type=Path, metavar="FOLDER", help="the package to write")
    add("--recipe", default="int4", metavar="NAME", help="int4 (default), int8 or fp32")
    add(
        "--block-size",
        type=int,
        metavar="N",
        help="weights that share a scale (default: 128, int8: 32)",
    )
    add("--engine", default="fused", metavar="NAME", help="fused (default), or optimum's export")
    add("--activation", metavar="NAME", help="activation function, where the config is wrong")
    tokenizer = parser.add_mutually_exclusive_group()
    tokenizer.add_argument(
        "--tokenizer", type=Path, metavar="PATH", help="folder with a tokenizer, or tokenizer.json"
    )
    tokenizer.add_argument(
        "--no-tokenizer", action="store_true", help="a package that takes and gives token ids"
    )
    add("--force", action="store_true", help="replace an older package in FOLDER")
    return parser


def run(options: argparse.Namespace) -> int:
    try:
        from gpt2_edge_export.export import ExportOptions, export_package
    except GPT2EdgeError:
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"exporting needs {error.name}: pip install 'gpt2-edge[export]'"
        ) from error
    report = export_package(
        options.checkpoint,
        options.output,
        ExportOptions(
            recipe=options.recipe,
            engine=options.engine,
            tokenizer=False if options.no_tokenizer else options.tokenizer,
            block_size=options.block_size,
            activation_function=options.activation,
            force=options.force,
        ),
    )
    _print(report)
    return 0


def _print(report: ExportReport) -> None:
    package, manifest = report.package, report.package.manifest
    for note in report.notes:
        print(f"note: {note}")
    test = manifest.self_test
    checked = f"self-test of {len(test.expected_ids)} tokens" if test else "no self-test"
    print(
        f"{package.folder}: {manifest.name} as {manifest.recipe['name']}, "
        f"{package.total_bytes / 1e6:.1f} MB, {checked}, {report.seconds:.1f} s"
    )
    if manifest.tokenizer:
        print(f'try: gpt2-edge generate {package.folder} "The animal"')
    else:
        print(f"try: gpt2-edge generate {package.folder} --ids 1,2,3")
