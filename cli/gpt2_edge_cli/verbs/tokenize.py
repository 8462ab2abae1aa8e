"""gpt2-edge tokenize: a text as token ids, and ids as text."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import GenerationError
from gpt2_edge_cli.arguments import add_prompt, add_prompt_file, read_prompt
from gpt2_edge_cli.signals import Loading
from gpt2_edge_cli.terminal import Screen, counted, json_line, visible

if TYPE_CHECKING:
    from gpt2_edge.files.package import Package
    from gpt2_edge.text.tokenizer import Tokenizer

_EXAMPLES = """The tokens are those that generate would read. Only the tokenizer is loaded.

examples:
  gpt2-edge tokenize PACKAGE "It was a dark night"
  gpt2-edge tokenize PACKAGE -f prompt.txt --count
  gpt2-edge tokenize PACKAGE --ids 1026,373,257
  gpt2-edge tokenize PACKAGE "ends with <|endoftext|>" --no-special --json
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "tokenize",
        help="show the tokens of a text",
        description="Show the tokens of a text with their ids, or the text of token ids.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("package", metavar="PACKAGE", help="folder that gpt2-edge export wrote")
    add_prompt(parser, "the text")
    add_prompt_file(parser, "the text")
    add("--no-special", action="store_true", help="special tokens written out in the text, such "
        "as <|endoftext|>, are ordinary text")  # fmt: skip
    add("--count", action="store_true", help="print the number of tokens and nothing else")
    add("--json", action="store_true", help="print one JSON object")
    return parser


def run(options: argparse.Namespace) -> int:
    if options.count and options.json:
        raise GenerationError("--json has the count, too; leave out --count")
    if options.ids is not None and options.no_special:
        raise GenerationError("--no-special is about special tokens in a text; --ids has none")
    package, tokenizer = _load(options.package)
    given = read_prompt(options)
    if isinstance(given, str):
        text = given
        ids = tokenizer.encode(text, parse_special=not options.no_special)
    else:
        ids = _checked(package, given)
        text = tokenizer.decode(ids)
    if options.count:
        print(len(ids))
    elif options.json:
        tokens = [tokenizer.label(token_id) for token_id in ids]
        print(json_line({"text": text, "ids": ids, "tokens": tokens, "count": len(ids)}))
    elif isinstance(given, str):
        _print_table(tokenizer, text, ids)
    else:
        Screen().write(f"{text}\n")
    return 0


def _load(folder: str) -> tuple[Package, Tokenizer]:
    with Loading():
        from gpt2_edge.files.package import open_package
        from gpt2_edge.text.tokenizer import package_tokenizer

        package = open_package(Path(folder))
        tokenizer = package_tokenizer(package)
    if tokenizer is None:
        raise GenerationError(f"{package.folder} has no tokenizer; its tokens are numbers only")
    return package, tokenizer


def _checked(package: Package, ids: Sequence[int]) -> list[int]:
    from gpt2_edge.prompts import check_vocabulary

    return check_vocabulary(list(ids), package.manifest.architecture.vocab_size)


def _print_table(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> None:
    width = max((len(str(token_id)) for token_id in ids), default=0)
    for token_id in ids:
        print(f"{token_id:{width}}  {visible(tokenizer.label(token_id))}")
    sizes = (counted(len(ids), "token"), counted(len(text), "character"))
    print(f"{', '.join(sizes)}, {counted(len(text.encode()), 'byte')}")
