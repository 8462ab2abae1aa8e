"""gpt2-edge verify: is the package whole, and does it compute what it should here?"""

from __future__ import annotations

import argparse
from typing import Any

from gpt2_edge.commands.arguments import add_package, load
from gpt2_edge.errors import MissingDependencyError
from gpt2_edge.status import status_line

_EXAMPLES = """Exit status 1 if the package is whole but computes something else.

examples:
  gpt2-edge verify PACKAGE
  gpt2-edge verify PACKAGE --reference ./checkpoint   also against transformers (slow, needs torch)
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "verify",
        help="check a package",
        description="Compare all hashes, run the package's self-test, and on request compare its "
        "logits and greedy tokens with transformers on the checkpoint it came from.",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    parser.add_argument(
        "--reference", metavar="CHECKPOINT", help="the checkpoint, to compare with transformers"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    from gpt2_edge.package import open_package
    from gpt2_edge.selftest import run_self_test

    package = open_package(options.package)
    package.check_hashes()
    print(f"hashes     ok, {len(package.manifest.files)} files")
    generator = load(options)
    problems = run_self_test(generator)
    test = generator.manifest.self_test
    if not problems and test is not None:
        print(f"self-test  ok, {len(test.expected_ids)} tokens, {len(test.logits)} logits")
    for problem in problems:
        print(f"self-test  FAILED: {problem}")
    if options.reference is None:
        return 1 if problems else 0
    try:
        from gpt2_edge_export.verify import compare_with_transformers
    except ImportError as error:
        raise MissingDependencyError(
            "--reference needs the exporter: pip install 'gpt2-edge[export,optimum]'"
        ) from error
    with status_line() as show:
        show("running transformers")
        comparison = compare_with_transformers(generator, options.reference)
    print(comparison.describe())
    return 1 if problems or not comparison.agrees else 0
