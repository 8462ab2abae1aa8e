"""gpt2-edge attend: with what weights the tokens of a text attend to each other."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import shown
from gpt2_edge_cli.arguments import add_package, add_prompt_file, load, read_prompt, utf_8
from gpt2_edge_cli.signals import Loading
from gpt2_edge_cli.streams import is_terminal

if TYPE_CHECKING:
    from gpt2_edge.model import Prompt

_EXAMPLE = "The animal didn't cross the street because it was too tired"
_LISTED = 10
_EXAMPLES = f"""Each token of a text attends to the tokens up to itself, with shares that are 100%
together, anew in every head of every layer. Layers and heads are counted from 0, as in
transformers, and so are tokens. The first token gets much of what heads have no better use for.

Without TEXT, and with nothing piped in, the text is: {_EXAMPLE}

examples:
  gpt2-edge attend PACKAGE --word it
  gpt2-edge attend PACKAGE "It was a dark night" --token 3 --layer 4 --head 1
  gpt2-edge attend PACKAGE --matrix
  gpt2-edge attend PACKAGE "It was a dark night" --html attention.html
  gpt2-edge attend PACKAGE --json | jq '.weights[-1]'
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "attend",
        help="show what the tokens of a text attend to",
        description="Show how much a token of a text attends to each other: the attention of a "
        "head, or the mean of many. For packages of --flavour fused.",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    add = parser.add_argument
    add("prompt", nargs="?", metavar="TEXT", help="the text (for -: standard input)")
    add("--ids", metavar="N,N,...", help="the text as token ids")
    add_prompt_file(parser, "the text")
    add("--token", type=int, metavar="N", help="what token N attends to; -1 is the last (default)")
    add("--word", metavar="WORD", help="... or the last token that is WORD")
    add("--layer", type=int, metavar="N", help="of layer N, from 0 (default: mean of all)")
    add("--head", type=int, metavar="N", help="of head N, from 0 (default: mean of all)")
    add("-k", type=int, metavar="K", default=_LISTED, help=f"list K tokens (default: {_LISTED})")
    add("--matrix", action="store_true", help="show all tokens, a row each")
    add("--json", action="store_true", help="print one JSON object: tokens, and rows of weights")
    add("--html", metavar="FILE", help="write a page, complete in itself, of all layers and heads "
        "(or those asked for), to look at in a browser")  # fmt: skip
    add("--png", metavar="FILE", help="write a heat map (with matplotlib: the extra [plot])")
    add("--force", action="store_true", help="replace FILE where it is there already")
    return parser


def run(options: argparse.Namespace) -> int:
    if options.k < 1:
        raise GenerationError(f"k is {shown(options.k)}; it must be at least 1")
    asked_token = options.token is not None or options.word is not None
    if options.matrix and (asked_token or options.json):
        other = "--json has all tokens, too" if options.json else "--matrix shows all tokens"
        raise GenerationError(f"{other}; leave out one of the two")
    given = {"html": options.html, "png": options.png}
    files = {kind: Path(name) for kind, name in given.items() if name is not None}
    if options.force and not files:
        raise GenerationError("--force is for --html and --png, which write a file")
    _check_files(files, options.force, options.package)
    prompt = _text(options)
    generator = load(options)
    with Loading():
        from gpt2_edge_cli.attending.table import json_of, show_matrix, show_token
        from gpt2_edge_cli.attending.view import find_token, make_view

        view = make_view(generator, prompt, options.layer, options.head)
    word = None if options.word is None else utf_8(options.word, "--word")
    token = find_token(view, options.token, word)
    for kind, path in files.items():
        size = _write(kind, path, view, token, options.force)
        if not options.json:
            print(f"{path}: {size / 1000:,.1f} kB")
    if options.json:
        print(json_of(view, token if asked_token else None))
    elif options.matrix:
        show_matrix(view)
    elif not files:
        show_token(view, token, options.k)
    return 0


def _check_files(files: dict[str, Path], force: bool, package: str) -> None:
    from gpt2_edge_cli.whole_file import check_target

    if len(files) == 2 and files["html"].absolute() == files["png"].absolute():
        raise GenerationError("--html and --png name the same file")
    for path in files.values():
        if os.path.realpath(path.absolute().parent) == os.path.realpath(package):
            raise GenerationError(
                f"{path} cannot be written (it is in the package's folder); give another place"
            )
        check_target(path, force)
    if "png" in files:
        with Loading():
            from gpt2_edge_cli.attending.picture import require_matplotlib

            require_matplotlib()


def _write(kind: str, path: Path, view: Any, token: int, force: bool) -> int:
    """Write a page or picture; its size in bytes."""
    from gpt2_edge_cli.whole_file import write_whole

    if kind == "html":
        from gpt2_edge_cli.attending.page import page

        content = page(view, token)
    else:
        from gpt2_edge_cli.attending.picture import heat_map

        content = heat_map(view)
    write_whole(path, content, force)
    return len(content)


def _text(options: argparse.Namespace) -> Prompt:
    """What is given, or else the example: where nothing is piped in, none is asked for."""
    is_given = not (options.prompt is None and options.ids is None and options.file is None)
    if not is_given and (sys.stdin is None or is_terminal(sys.stdin)):
        return _EXAMPLE
    prompt = read_prompt(options)
    return prompt if prompt or is_given else _EXAMPLE
