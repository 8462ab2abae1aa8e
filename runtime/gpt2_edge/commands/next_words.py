"""gpt2-edge next: the likeliest next tokens with their percentages."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from gpt2_edge.commands.arguments import add_package, add_prompt, load, read_prompt

_EXAMPLES = """examples:
  gpt2-edge next PACKAGE "What do you"
  gpt2-edge next PACKAGE "What do you" -k 3 --json
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "next",
        help="show the likeliest next words",
        description="Show the likeliest next tokens after a prompt, with their probabilities.",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    add_prompt(parser)
    parser.add_argument("-k", type=int, default=10, metavar="K", help="how many (default: 10)")
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    return parser


def run(options: argparse.Namespace) -> int:
    generator = load(options)
    tokens = generator.next_tokens(read_prompt(options), options.k)
    if options.json:
        print(json.dumps([dataclasses.asdict(token) for token in tokens], ensure_ascii=False))
        return 0
    for token in tokens:
        print(f"{100 * token.probability:5.1f}%  {visible(token.text)}")
    return 0


def visible(text: str) -> str:
    """The token on one line, quoted so that its leading space shows; no control characters."""
    return '"' + repr(text)[1:-1].replace("\\'", "'") + '"'
