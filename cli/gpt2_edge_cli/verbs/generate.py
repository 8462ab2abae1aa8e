"""gpt2-edge generate: a prompt in, its continuation out as it is written."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import ContextOverflowError, GenerationError
from gpt2_edge_cli import streams
from gpt2_edge_cli.arguments import (
    add_package,
    add_prompt,
    add_prompt_file,
    load,
    read_prompt,
    utf_8,
)
from gpt2_edge_cli.signals import Loading
from gpt2_edge_cli.terminal import Screen, counted, json_line

if TYPE_CHECKING:
    from gpt2_edge.config import GenerationConfig
    from gpt2_edge.generate import GenerationResult, Generator, TextStream
    from gpt2_edge.model import Prompt

_EXAMPLES = """Where no option is given, the package's own settings (generation_config.json) hold.
If it has none, the likeliest token is taken each time ("greedy"): always the same text,
which soon repeats itself. --do-sample, or any of --temperature, --top-k, --top-p and
--seed, draws tokens at random by their probabilities.

At a terminal the prompt is shown dim, in front of the text. Ctrl-C ends the text where it is, a
second one the command.

examples:
  gpt2-edge generate PACKAGE "It was a dark night" -n 200
  gpt2-edge generate PACKAGE "Dear Sir," --temperature 0.8 --top-p 0.95 --seed 7
  gpt2-edge generate PACKAGE -f prompt.txt --stop "\\n\\n" --json
  gpt2-edge generate PACKAGE -- "-5 degrees and"     a text that looks like an option
  gpt2-edge generate PACKAGE --ids 464,3290          a package without a tokenizer
"""
_FEW_TOKENS = 64  # the time for a shorter prompt says nothing about speed


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "generate",
        help="continue a prompt",
        description="Write on from a prompt.",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    add_prompt(parser)
    add_prompt_file(parser)
    add = parser.add_argument
    add("-n", "--max-new-tokens", type=int, metavar="N", help="write N tokens at most (else 128)")
    add("--temperature", type=float, metavar="T", help="draw: above 1 wilder, below 1 tamer; "
        "0 is greedy (else 1)")  # fmt: skip
    add("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens; 0 from all "
        "(else 50)")  # fmt: skip
    add("--top-p", type=float, metavar="P", help="draw from the likeliest tokens that together "
        "reach the probability P (else 1: all)")  # fmt: skip
    add("--seed", type=int, metavar="N", help="draw: the same seed gives the same text")
    draws = parser.add_mutually_exclusive_group()
    draws.add_argument(
        "--do-sample", action="store_true", help="draw, with the settings as they are"
    )
    draws.add_argument("--greedy", action="store_true", help="take the likeliest token each time")
    add(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end before TEXT, \\n is a line (repeatable)",
    )
    add("--ignore-eos", action="store_true", help="go on past the end-of-text token")
    add(
        "--slide",
        action="store_true",
        help="when the context is full, forget its older half and go on; of a prompt that is too "
        "long, take the end",
    )
    echo = parser.add_mutually_exclusive_group()
    echo.add_argument("--echo", action="store_true", help="print the prompt, too")
    echo.add_argument(
        "--no-echo", action="store_true", help="do not (default: print it at a terminal)"
    )
    add("--json", action="store_true", help="print the whole result as one JSON object")
    add(
        "--stream",
        action="store_true",
        help="with --json: a line for each piece when it is written, the result on the last line",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    if options.stream and not options.json:
        raise GenerationError("--stream goes with --json; plain text is streamed anyway")
    with Loading():
        config = _config(options)
    generator = load(options)
    prompt = read_prompt(options)
    ids = _prompt_ids(generator, prompt, options.slide)
    screen = Screen()
    if not options.json and (options.echo or (screen.is_terminal and not options.no_echo)):
        screen.write(_echoed(generator, prompt), dim=True)
    with _FirstInterrupt() as interrupted:
        stream = generator.stream(ids, config, interrupted)
        if options.json:
            _stream_json(stream, generator.tokenizer is not None, options.stream)
        else:
            _stream_text(stream, generator.tokenizer is not None, screen)
        result = stream.result
    if interrupted():
        result = dataclasses.replace(result, finish_reason="interrupted")
    full = _is_context_full(result, generator, options)
    if options.json:
        print(json_line(_record(result, generator, prompt, ids, full)))
    streams.flush_output()  # so that at a terminal the text stands before the summary
    if streams.is_terminal(sys.stderr):
        streams.note(_summary(result, full))
    return 0


def _config(options: argparse.Namespace) -> GenerationConfig:
    """What was given, and nothing else: the package has settings of its own."""
    from gpt2_edge.config import GenerationConfig

    settings = {
        name: getattr(options, name)
        for name in ("max_new_tokens", "temperature", "top_k", "top_p", "seed")
        if getattr(options, name) is not None
    }
    if options.do_sample or options.greedy:
        settings["do_sample"] = options.do_sample
    return GenerationConfig(
        stop_strings=tuple(map(_unescaped, options.stop)),
        ignore_eos=options.ignore_eos,
        context_overflow="slide" if options.slide else "stop",
        logprobs=options.json,
        **settings,
    )


def _prompt_ids(generator: Generator, prompt: Prompt, slide: bool) -> list[int]:
    """The ids of the prompt; with --slide, of its end where all of it does not fit."""
    try:
        return generator.encode(prompt)
    except ContextOverflowError as error:
        if not slide:
            raise ContextOverflowError(f"{error}; --slide takes the end of it") from error
    if isinstance(prompt, str):
        assert generator.tokenizer is not None  # or it would not have been too long
        ids: Sequence[int] = generator.tokenizer.encode(prompt)
    else:
        ids = prompt
    room = generator.context_length
    streams.say(f"the prompt has {len(ids):,} tokens; the last {room:,} of them count")
    return generator.encode(list(ids)[-room:])


def _echoed(generator: Generator, prompt: Prompt) -> str:
    if isinstance(prompt, str):
        return prompt
    if generator.tokenizer is not None:
        return generator.tokenizer.decode(prompt)
    return "".join(f"{token_id}," for token_id in prompt)


def _stream_text(stream: TextStream, has_text: bool, screen: Screen) -> None:
    """Show the text, or the ids of a package without a tokenizer, as they come."""
    shown = 0
    try:
        for piece in stream:
            if has_text:
                screen.write(piece)
                continue
            new = map(str, stream.ids[shown:])
            screen.write(("," if shown else "") + ",".join(new))
            shown = len(stream.ids)
    finally:
        screen.write("\n")


def _stream_json(stream: TextStream, has_text: bool, show: bool) -> None:
    """Read the stream; on request print each piece with the ids that came with it."""
    told = 0
    for piece in stream:
        if show:
            told = _tell(piece if has_text else None, stream, told)
    if show and told < len(stream.ids):  # tokens without a text, such as the end of text
        _tell("" if has_text else None, stream, told)


def _tell(piece: str | None, stream: TextStream, told: int) -> int:
    print(json_line({"text": piece, "ids": stream.ids[told:]}), flush=True)
    return len(stream.ids)


class _FirstInterrupt:
    """should_stop, while the block runs: the first Ctrl-C sets it, the next interrupts at once."""

    def __init__(self) -> None:
        self._set = False
        self._before: Any = None

    def __enter__(self) -> _FirstInterrupt:
        before = signal.getsignal(signal.SIGINT)
        ours = threading.current_thread() is threading.main_thread()
        if ours and before not in (None, signal.SIG_IGN):  # ignored: in a shell's background
            self._before = before
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._set = True
        signal.signal(signal.SIGINT, self._before)

    def __call__(self) -> bool:
        return self._set


def _unescaped(text: str) -> str:
    r"""`text` with \n and \t as the characters they stand for: shells make those hard to type."""
    return utf_8(text, "--stop").replace("\\n", "\n").replace("\\t", "\t")


def _is_context_full(
    result: GenerationResult, generator: Generator, options: argparse.Namespace
) -> bool:
    """Whether "length" means that the context was full before as many tokens as asked for."""
    if result.finish_reason != "length" or options.slide:
        return False
    written = result.prompt_tokens + len(result.ids) - 1  # the last one was not fed
    asked = len(result.ids) == options.max_new_tokens
    return written == generator.context_length and not asked


def _record(
    result: GenerationResult, generator: Generator, prompt: Prompt, ids: list[int], full: bool
) -> dict[str, Any]:
    return {
        "package": generator.name,
        "prompt": prompt if isinstance(prompt, str) else None,
        "prompt_ids": ids,
        **dataclasses.asdict(result),
        "context_full": full,
        "fallback_reason": generator.fallback_reason,
        "prompt_tokens_per_second": round(result.prompt_tokens_per_second, 1),
        "decode_tokens_per_second": round(result.decode_tokens_per_second, 1),
    }


def _summary(result: GenerationResult, full: bool) -> str:
    ended = {
        "eos": "end of text",
        "stop": "a --stop text came",
        "length": "as many as asked for",
        "interrupted": "interrupted",
    }.get(result.finish_reason, result.finish_reason)
    if full:
        ended = "the context is full (--slide goes on)"
    parts = [f"{counted(len(result.ids), 'token')}: {ended}"]
    if result.seed is not None:
        parts.append(f"seed {result.seed}")
    if result.ids:
        parts.append(f"first token after {1000 * result.prompt_seconds:,.0f} ms")
    if result.prompt_tokens >= _FEW_TOKENS:
        parts.append(f"prompt {result.prompt_tokens_per_second:,.0f} tokens/s")
    if result.decode_tokens_per_second:
        parts.append(f"then {result.decode_tokens_per_second:,.0f} tokens/s")
    return f"[{'; '.join(parts)}]"
