"""gpt2-edge next: the likeliest next tokens with their percentages."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from gpt2_edge.commands.arguments import add_package, add_prompt, add_prompt_file, load, read_prompt
from gpt2_edge.commands.terminal import Screen, json_line

_EXAMPLES = """A token is a word or a part of one; quotes show where its space is. Percentages are
shares of all tokens that the model knows.

examples:
  gpt2-edge next PACKAGE "What do you"
  gpt2-edge next PACKAGE "What do you" -k 3 --json
"""
_BAR = 20  # columns


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "next",
        help="show the likeliest next words",
        description="Show the likeliest next tokens (words, or parts of words) after a prompt, "
        "with their probabilities.",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    add_prompt(parser)
    add_prompt_file(parser)
    parser.add_argument("-k", type=int, default=10, metavar="K", help="how many (default: 10)")
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    return parser


def run(options: argparse.Namespace) -> int:
    generator = load(options)
    most = min(options.k, generator.manifest.architecture.vocab_size)
    tokens = generator.next_tokens(read_prompt(options), most)
    if options.json:
        print(json_line([dataclasses.asdict(token) for token in tokens]))
        return 0
    screen = Screen()
    largest = max((token.probability for token in tokens), default=1.0)
    for token in tokens:
        bar = screen.bar(token.probability / largest, _BAR)
        print(f"{100 * token.probability:5.1f}%  {bar}{'  ' if bar else ''}{visible(token.text)}")
    return 0


def visible(text: str) -> str:
    """The token on one line, quoted so that its leading space shows; no control characters."""
    return '"' + repr(text)[1:-1].replace("\\'", "'") + '"'
