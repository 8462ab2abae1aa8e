"""gpt2-edge bench: how fast a package is on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from gpt2_edge.status import status_line
from gpt2_edge_cli import memory_bound
from gpt2_edge_cli.arguments import add_package, provider_options, thread_count
from gpt2_edge_cli.signals import Loading

_EXAMPLES = """Medians; the machine should be idle. Compare packages within one run of a script,
never figures of two days.

examples:
  gpt2-edge bench PACKAGE
  gpt2-edge bench PACKAGE --threads 1 --json
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "bench",
        help="measure speed and memory",
        description="Measure load time, time to first token, prefill and decode speed, memory.",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def run(options: argparse.Namespace) -> int:
    with Loading():
        from gpt2_edge.measure.benchmark import measure

    memory_bound.while_loading(options.package, thread_count(options), options.provider)
    with status_line() as show:
        figures = measure(
            options.package,
            thread_count(options),
            show,
            options.provider,
            provider_options(options),
        )
    if options.json:
        print(json.dumps(dataclasses.asdict(figures)))
        return 0
    for label, value in figures.rows():
        print(f"{label:<28}{value:>12}")
    return 0
