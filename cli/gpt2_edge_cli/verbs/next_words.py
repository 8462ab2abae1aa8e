"""gpt2-edge next: the likeliest next tokens with their percentages, to look at or to choose."""

from __future__ import annotations

import argparse
import dataclasses
import secrets
import sys
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import shown
from gpt2_edge_cli.arguments import add_package, add_prompt, add_prompt_file, load, read_prompt
from gpt2_edge_cli.streams import is_terminal
from gpt2_edge_cli.terminal import Screen, json_line, visible

if TYPE_CHECKING:
    from gpt2_edge.generate import Generator

_EXAMPLES = """A token is a word or a part of one; quotes show where its space is. Percentages are
shares of all tokens that the model knows.

At a terminal, unless -k or --json asks for a list, options are there to be chosen: a digit takes
one, u undoes, r draws one by the percentages, q ends. Any other letter or a space begins words of
your own, which Enter adds (Tab: words that begin with one of those letters or digits). -i does
that anywhere, with a line of standard input for each choice.

examples:
  gpt2-edge next PACKAGE "What do you"
  gpt2-edge next PACKAGE "What do you" -k 3 --json
  gpt2-edge next PACKAGE "What do you" --temperature 0.5
"""
_BAR = 20  # columns
_LISTED, _NUMBERED = 10, 9  # options, if -k does not say; a digit takes one, so 9 at most
_SEED_BITS = 53


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "next",
        help="show the likeliest next words, or choose among them",
        description="Show the likeliest next tokens (words, or parts of words) after a prompt, "
        "with their probabilities; at a terminal, choose among them.",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    add_prompt(parser)
    add_prompt_file(parser)
    add = parser.add_argument
    add("-k", type=int, metavar="K", help="list K tokens (default: 10)")
    add("-i", "--interactive", action="store_true", help="choose among them, 9 or -k at a time")
    add("--temperature", type=float, metavar="T", help="as generate would draw at T: above 1 more "
        "even, below 1 less")  # fmt: skip
    add("--top-k", type=int, metavar="K", help="... among the K likeliest only")
    add("--top-p", type=float, metavar="P", help="... among the likeliest that reach P together")
    add("--seed", type=int, metavar="N", help="of what r draws")
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    return parser


def run(options: argparse.Namespace) -> int:
    if options.k is not None and options.k < 1:
        raise GenerationError(f"k is {shown(options.k)}; it must be at least 1")
    at_terminal = is_terminal(sys.stdin) and is_terminal(sys.stdout)
    wants_list = options.json or options.k is not None
    if options.interactive or (at_terminal and not wants_list):
        return _choose(options)
    if options.seed is not None:
        raise GenerationError("--seed is of what -i draws; a list is the same each time")
    generator = load(options)
    tokens = generator.next_tokens(
        read_prompt(options),
        min(options.k or _LISTED, generator.vocab_size),
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


def _choose(options: argparse.Namespace) -> int:
    if options.json:
        raise GenerationError("-i is for people; leave out --json")
    if options.k is not None and options.k > _NUMBERED:
        raise GenerationError(f"k is {shown(options.k)}; a digit takes one, so -i has at most 9")
    from_stdin = options.ids is None and options.file in (None, "-")
    if from_stdin and options.prompt in (None, "-") and not is_terminal(sys.stdin):
        raise GenerationError("-i reads choices from standard input; give the text as an argument "
                              "or with -f")  # fmt: skip
    generator = load(options)
    ids = generator.encode(read_prompt(options))
    _choose_behind(generator, ids, options)
    return 0


def _choose_behind(generator: Generator, ids: list[int], options: argparse.Namespace) -> None:
    from gpt2_edge.config import GenerationConfig
    from gpt2_edge_cli.choosing.screen import choose
    from gpt2_edge_cli.choosing.text import ChosenText

    config = GenerationConfig(
        temperature=options.temperature,
        top_k=options.top_k or 0,
        top_p=options.top_p,
        seed=secrets.randbits(_SEED_BITS) if options.seed is None else options.seed,
    )
    choose(ChosenText(generator, ids, options.k or _NUMBERED, config))
