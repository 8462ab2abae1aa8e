"""gpt2-edge eval: the GPT-2 paper's zero-shot tasks, beside the figures it reports."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2_edge.measure.evaluate.tasks import TASKS, prepare
from gpt2_edge.status import status_line
from gpt2_edge_cli import streams
from gpt2_edge_cli.arguments import add_package, load
from gpt2_edge_cli.offering import offer
from gpt2_edge_cli.terminal import json_line

if TYPE_CHECKING:
    from gpt2_edge.measure.evaluate.record import Evaluation, Figure

_EXAMPLES = """Data formats, protocols, and what differs from the paper: docs/EVALUATION.md.

examples:
  gpt2-edge eval PACKAGE lambada --data lambada_test.jsonl
  gpt2-edge eval PACKAGE wikitext2 --data wiki.test.raw --stride 256
  gpt2-edge eval PACKAGE winograd --data wsc273.jsonl --json
"""
_FEW = 30  # items
_LARGE = 1e6  # from here on a figure's order of magnitude is all that matters


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "eval",
        help="measure a package on the GPT-2 paper's tasks",
        description="Measure a package on a zero-shot task of the GPT-2 paper, and print the "
        "figures with their standard errors beside the paper's. Tasks: "
        + "; ".join(f"{name} ({what})" for name, what in TASKS.items())
        + ".",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    offer(parser.add_argument("task", metavar="TASK", help=", ".join(TASKS)), TASKS)
    parser.add_argument("--data", metavar="PATH", type=Path, required=True, help="the task's file")
    parser.add_argument("--limit", metavar="N", type=int, help="the first N items only")
    parser.add_argument(
        "--window", metavar="N", type=int, help="of wikitext2, in tokens (default: the context)"
    )
    parser.add_argument(
        "--stride", metavar="N", type=int, help="of wikitext2, in tokens (default: half a window)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def run(options: argparse.Namespace) -> int:
    evaluate = prepare(options.task, options.data, options.limit, options.window, options.stride)
    generator = load(options)
    started = time.perf_counter()
    with status_line() as show:
        evaluation = evaluate(generator, show)
    seconds = time.perf_counter() - started
    if options.json:
        manifest = generator.manifest
        where = {"package": manifest.name, "recipe": manifest.recipe["name"]}
        where["data"] = options.data.name
        print(json_line(where | {"seconds": round(seconds, 1)} | _as_json(evaluation)))
        return 0
    print(f"{_summary(evaluation, options.data.name)}, {seconds:.0f} s")
    for line in _table(evaluation):
        print(line.rstrip())
    few = evaluation.task != "wikitext2" and evaluation.items < _FEW
    if few and streams.is_terminal(sys.stderr):
        streams.flush_output()
        streams.note(f"[{evaluation.items} {evaluation.item} say little; see the standard errors]")
    return 0


def _summary(evaluation: Evaluation, data: str) -> str:
    summary = f"{evaluation.task}: {evaluation.items:,} {evaluation.item} of {data}"
    if evaluation.counts:
        counts = (f"{name} {number:,}" for name, number in evaluation.counts.items())
        summary += f" ({', '.join(counts)})"
    if evaluation.truncated:
        summary += f", {evaluation.truncated:,} of them with a cut context"
    if evaluation.skipped:
        summary += f", {evaluation.skipped:,} more too long"
    return summary


def _table(evaluation: Evaluation) -> Iterator[str]:
    """A line a figure; beside it the paper's figures, with the names of its models above them."""
    from gpt2_edge.measure.evaluate.paper import MODELS

    names = max(len(figure.name) for figure in evaluation.figures)
    measured = [_measured(figure) for figure in evaluation.figures]
    width = max(len(text) for text in measured)
    if any(figure.published for figure in evaluation.figures):
        models = "".join(f"{model:>8}" for model in MODELS)
        yield f"{'':<{names}}  {'measured':<{width}}   {'GPT-2 paper':<11}{models}"
    for figure, text in zip(evaluation.figures, measured, strict=True):
        beside = [
            f"{row.name:<11}" + "".join(_published(row.figures.get(model)) for model in MODELS)
            for row in figure.published
        ]
        yield f"{figure.name:<{names}}  {text:<{width}}   {beside[0] if beside else ''}"
        for other in beside[1:]:
            yield f"{'':<{names}}  {'':<{width}}   {other}"


def _measured(figure: Figure) -> str:
    error = "" if figure.standard_error is None else f" ± {_number(figure.standard_error)}"
    return f"{_number(figure.value)}{error} {figure.unit}"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < _LARGE else f"{value:.3g}"


def _published(value: float | None) -> str:
    return f"{'–' if value is None else f'{value:.2f}':>8}"


def _as_json(evaluation: Evaluation) -> dict[str, Any]:
    fields = dataclasses.asdict(evaluation)
    for figure in fields["figures"]:  # JSON has no infinity
        for name in ("value", "standard_error"):
            if figure[name] is not None and not math.isfinite(figure[name]):
                figure[name] = None
    return fields
