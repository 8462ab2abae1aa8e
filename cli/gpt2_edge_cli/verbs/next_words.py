"""gpt2-edge next: the likeliest next tokens with their percentages."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import shown
from gpt2_edge_cli.arguments import add_package, add_prompt, add_prompt_file, load, read_prompt
from gpt2_edge_cli.terminal import Screen, json_line, visible

_EXAMPLES = """A token is a word or a part of one; quotes show where its space is. Percentages are
shares of all tokens that the model knows.

examples:
  gpt2-edge next PACKAGE "What do you"
  gpt2-edge next PACKAGE "What do you" -k 3 --json
  gpt2-edge next PACKAGE "What do you" --temperature 0.5
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
    parser.add_argument("-k", type=int, default=10, metavar="K", help="show K tokens (default: 10)")
    add = parser.add_argument
    add("--temperature", type=float, metavar="T", help="as generate would draw at T: above 1 more "
        "even, below 1 less")  # fmt: skip
    add("--top-k", type=int, metavar="K", help="... among the K likeliest only")
    add("--top-p", type=float, metavar="P", help="... among the likeliest that reach P together")
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    return parser


def run(options: argparse.Namespace) -> int:
    if options.k < 1:
        raise GenerationError(f"k is {shown(options.k)}; it must be at least 1")
    generator = load(options)
    tokens = generator.next_tokens(
        read_prompt(options),
        min(options.k, generator.vocab_size),
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
    )
    if options.json:
        print(json_line([dataclasses.asdict(token) for token in tokens]))
        return 0
    screen = Screen()
    largest = max((token.probability for token in tokens), default=1.0)
    for token in tokens:
        bar = screen.bar(token.probability / largest, _BAR)
        print(f"{100 * token.probability:5.1f}%  {bar}{'  ' if bar else ''}{visible(token.text)}")
    return 0
