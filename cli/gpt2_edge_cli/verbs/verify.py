"""gpt2-edge verify: is the package whole, and does it compute what it should here?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import MissingDependencyError, install_hint
from gpt2_edge.status import status_line
from gpt2_edge_cli import memory_bound
from gpt2_edge_cli.arguments import add_package, load
from gpt2_edge_cli.parsing import VerbParser
from gpt2_edge_cli.signals import Loading

if TYPE_CHECKING:
    from gpt2_edge.generate import Generator
    from gpt2_edge.measure.reference_outputs.outputs import Output

_EXAMPLES = """Exit status 1 if the package is whole but computes something else.

examples:
  gpt2-edge verify PACKAGE
  gpt2-edge verify PACKAGE --reference ./checkpoint   also against transformers (slow, needs torch)
  gpt2-edge verify GPT2-PACKAGE --reference-outputs   also against what was published of gpt2
"""


def add_parser(verbs: Any) -> VerbParser:
    parser: VerbParser = verbs.add_parser(
        "verify",
        help="check a package",
        description="Compare all hashes, run the package's self-test, and on request compare its "
        "logits and greedy tokens with transformers on the checkpoint it came from, or its "
        "outputs with reference outputs of GPT-2's own weights, which other projects published.",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    parser.add_argument(
        "--reference", metavar="CHECKPOINT", help="the checkpoint, to compare with transformers"
    )
    outputs = parser.add_argument(
        "--reference-outputs",
        action="store_true",
        help="compare with published outputs of the 124M gpt2 (only of it; fp32 must agree)",
    )
    parser.keep_old_name(outputs, "--published")
    return parser


def run(options: argparse.Namespace) -> int:
    with Loading():
        from gpt2_edge.files.package import open_package
        from gpt2_edge.measure.selftest import run_self_test

    package = open_package(options.package)
    outputs: list[Output] = []
    if options.reference_outputs:
        from gpt2_edge.measure.reference_outputs.outputs import read_outputs, require_gpt2

        outputs = read_outputs()
        require_gpt2(package, outputs)
    package.check_hashes()
    print(f"hashes     ok, {len(package.manifest.files)} files")
    generator = load(options)
    problems = run_self_test(generator)
    test = generator.manifest.self_test
    if not problems and test is not None:
        print(f"self-test  ok, {len(test.expected_ids)} tokens, {len(test.logits)} logits")
    for problem in problems:
        print(f"self-test  FAILED: {problem}")
    fine = not problems
    if options.reference_outputs:
        fine = _compare_with_reference_outputs(generator, outputs) and fine
    if options.reference is not None:
        fine = _compare_with_transformers(generator, options.reference) and fine
    return 0 if fine else 1


def _compare_with_reference_outputs(generator: Generator, outputs: list[Output]) -> bool:
    """Print a line for each output; False where an fp32 package differs."""
    from gpt2_edge.measure.reference_outputs.outputs import check_outputs

    checks = []
    with status_line() as show:
        show(f"published outputs: 0 of {len(outputs)}")
        for check in check_outputs(generator, outputs):
            checks.append(check)
            show(f"published outputs: {len(checks)} of {len(outputs)}")
    for check in checks:
        print(f"published  {check.describe()}")
    run = [check for check in checks if check.agrees is not None]
    agreeing = sum(check.agrees is True for check in run)
    exact = generator.manifest.recipe["name"] == "fp32"
    failed = exact and any(check.required and not check.agrees for check in run)
    verdict = "DIFFERS" if failed else "ok" if exact else "quantized"
    print(f"published  {verdict}: {agreeing} of {len(run)} agree")
    return not failed


def _compare_with_transformers(generator: Generator, checkpoint: str) -> bool:
    """Print a line; False where an fp32 package differs."""
    try:
        from gpt2_edge_export.measure.verify import compare_with_transformers
    except ImportError as error:
        raise MissingDependencyError(
            f"--reference needs {error.name}: {install_hint('optimum')}"
        ) from error
    memory_bound.lift()  # the checkpoint is read here, by torch
    with status_line() as show:
        show("running transformers")
        comparison = compare_with_transformers(generator, checkpoint)
    print(comparison.describe())
    return comparison.agrees
