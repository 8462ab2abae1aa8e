"""gpt2-edge check-mobile: what mobile providers would take of a package."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gpt2_edge.errors import MissingDependencyError, install_hint
from gpt2_edge_cli.signals import Loading
from gpt2_edge_cli.terminal import counted

_EXAMPLES = """Nothing is run: the lists of operators are those that come with ONNX Runtime.

examples:
  gpt2-edge check-mobile PACKAGE
  gpt2-edge check-mobile PACKAGE --ort FOLDER     the graphs in .ort format, for reduced builds
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "check-mobile",
        help="what NNAPI and Core ML would take of a package",
        description="Say which nodes of a package's graphs NNAPI and Core ML would take, and what "
        "keeps the others back.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("package", metavar="PACKAGE", help="folder that gpt2-edge export wrote")
    parser.add_argument(
        "--ort",
        type=Path,
        metavar="FOLDER",
        help="also write the graphs in .ort format there, with the list of required operators",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    from gpt2_edge.files.package import open_package

    try:
        with Loading():
            from gpt2_edge_export.measure.mobile import coverage, write_ort
    except ImportError as error:
        raise MissingDependencyError(
            f"checking needs {error.name}: {install_hint('export')}"
        ) from error
    package = open_package(options.package)
    for entry in coverage(package):
        print(
            f"{entry.file} on {entry.provider}: {entry.nodes[0]} of {entry.nodes[1]} nodes in "
            f"{counted(entry.partitions, 'part')}, "
            f"{entry.products[0]} of {entry.products[1]} matrix products"
        )
        for reason, count in entry.refused.items():
            print(f"  {count:4}  {reason}")
        for note in entry.notes:
            print(f"  not checked: {note.replace(':', ': ').replace('ai.onnx: ', 'ai.onnx:')}")
    if options.ort is not None:
        for name in write_ort(package, options.ort):
            print(f"{options.ort / name}: {(options.ort / name).stat().st_size:,} bytes")
    return 0
