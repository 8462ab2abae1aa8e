"""gpt2-edge score: how likely a text is, token by token, or a file's perplexity."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import GenerationError
from gpt2_edge.status import status_line
from gpt2_edge.untrusted import UnreadableError, read_text_file
from gpt2_edge_cli.arguments import add_package, add_prompt, load, read_prompt
from gpt2_edge_cli.signals import Loading
from gpt2_edge_cli.terminal import counted, json_line, visible

if TYPE_CHECKING:
    from gpt2_edge.generate import Generator
    from gpt2_edge.measure.scores import Perplexity, ScoredToken

_FILE_LIMIT = 64 << 20  # some hours; its token ids take ten times as much memory
_EXAMPLES = """A text is shown token by token: log-probability (natural), share, rank in all.
A file of up to 64 MB gets one perplexity, in windows that overlap by window - stride tokens.

examples:
  gpt2-edge score PACKAGE "It was a dark and stormy night"
  gpt2-edge score PACKAGE --file held-out.txt
  gpt2-edge score PACKAGE --file held-out.txt --window 512 --stride 512 --json
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "score",
        help="measure how likely a text is",
        description="Show how likely each token of a text is, or the perplexity of a file.",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    add_prompt(parser, "the text")
    add = parser.add_argument
    add("-f", "--file", metavar="FILE", help="a text file (UTF-8), for its perplexity")
    add("--window", type=int, metavar="N", help="tokens at once (default: the context length)")
    add("--stride", type=int, metavar="N", help="from window to window (default: half of it)")
    add("--bos", action="store_true", help="predict the first token too, after the bos token")
    add("--json", action="store_true", help="print one JSON object")
    return parser


def run(options: argparse.Namespace) -> int:
    if options.file is not None:
        return _score_file(options)
    if options.window is not None or options.stride is not None:
        raise GenerationError("--window and --stride are for the perplexity of a --file")
    with Loading():
        from gpt2_edge.measure.score import score_tokens
        from gpt2_edge.measure.scores import exponential

    generator = load(options)
    tokens = score_tokens(generator, _text_ids(generator, options), options.bos)
    logprobs = [token.logprob for token in tokens if token.logprob is not None]
    total = math.fsum(logprobs)
    mean = total / len(logprobs)
    if options.json:
        record = {
            "tokens": [dataclasses.asdict(token) for token in tokens],
            "predicted": len(logprobs),
            "logprob": total,
            "perplexity": exponential(-mean),
        }
        print(json_line(record))
        return 0
    print(" logprob       %    rank  token")
    for token in tokens:
        print(_row(token))
    print(
        f"{counted(len(logprobs), 'token')} predicted, log-probability {total:.2f}, "
        f"perplexity {exponential(-mean):.2f}"
    )
    return 0


def _text_ids(generator: Generator, options: argparse.Namespace) -> list[int]:
    prompt = read_prompt(options)
    if not isinstance(prompt, str):
        return list(prompt)
    if generator.tokenizer is None:
        raise GenerationError(
            f"{generator.package.folder} has no tokenizer; give the text as token ids (--ids)"
        )
    return generator.tokenizer.encode(prompt, add_special_tokens=False)


def _row(token: ScoredToken) -> str:
    figures = " " * 25
    if token.logprob is not None:
        figures = f"{token.logprob:8.3f} {100 * math.exp(token.logprob):6.2f}% {token.rank:7,} "
    return f"{figures} {visible(token.text)}"


def _score_file(options: argparse.Namespace) -> int:
    if options.prompt is not None or options.ids is not None:
        raise GenerationError("give a text, --ids or --file, not several of them")
    text = _read(Path(options.file))
    with Loading():
        from gpt2_edge.measure.score import text_perplexity

    generator = load(options)
    with status_line() as show:
        found = text_perplexity(
            generator, text, options.window, options.stride, bos=options.bos, show=show
        )
    if options.json:
        print(json_line(_record(found)))
        return 0
    spread = "" if math.isnan(found.standard_error) else f" +/- {found.standard_error:.2f}"
    print(f"perplexity     {found.perplexity:.2f}{spread}")
    if found.bits_per_byte is not None:
        print(f"bits per byte  {found.bits_per_byte:.4f}")
    print(f"tokens         {found.tokens:,} predicted")
    print(f"window         {found.window:,} tokens, stride {found.stride:,}")
    return 0


def _record(found: Perplexity) -> dict[str, Any]:
    figures = {"perplexity": found.perplexity, "bits_per_byte": found.bits_per_byte}
    # JSON has no nan, which a single token's standard error is.
    error = None if math.isnan(found.standard_error) else found.standard_error
    return figures | dataclasses.asdict(found) | {"standard_error": error}


def _read(path: Path) -> str:
    try:
        text = read_text_file(path, _FILE_LIMIT)
    except UnreadableError as error:
        raise GenerationError(f"{path} cannot be read as text: {error}") from error
    if not text:
        raise GenerationError(f"{path} is empty; give a text of two tokens or more")
    return text
