"""gpt2-edge generate: a prompt in, its continuation out as it is written."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

from gpt2_edge.commands.arguments import add_package, add_prompt, load, read_prompt

if TYPE_CHECKING:
    from gpt2_edge.generate import GenerationResult

_EXAMPLES = """Greedy unless a sampling option is given. Ctrl-C ends the text where it is.

examples:
  gpt2-edge generate PACKAGE "It was a dark night" -n 200
  gpt2-edge generate PACKAGE "Dear Sir," --temperature 0.8 --top-p 0.95 --seed 7
  gpt2-edge generate PACKAGE --stop "\\n\\n" --json < prompt.txt
  gpt2-edge generate PACKAGE --ids 464,3290          a package without a tokenizer
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "generate", help="continue a prompt", description="Continue a prompt.", epilog=_EXAMPLES
    )
    add_package(parser)
    add_prompt(parser)
    add = parser.add_argument
    add("-n", "--max-new-tokens", type=int, default=128, metavar="N", help="default: 128")
    add("--temperature", type=float, metavar="T", help="default: 1; 0 is greedy")
    add("--top-k", type=int, metavar="K", help="keep the K likeliest tokens (default: 50)")
    add("--top-p", type=float, metavar="P", help="keep the likeliest that reach P (default: 1)")
    add("--seed", type=int, metavar="N", help="the same seed gives the same text")
    add(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end before TEXT, \\n is a line (repeatable)",
    )
    add("--ignore-eos", action="store_true", help="go on past the end-of-text token")
    add("--slide", action="store_true", help="forget old text when the context is full, and go on")
    add("--json", action="store_true", help="print the whole result as one JSON object")
    return parser


def run(options: argparse.Namespace) -> int:
    from gpt2_edge.config import GenerationConfig

    config = GenerationConfig(
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        stop_strings=tuple(map(_unescaped, options.stop)),
        ignore_eos=options.ignore_eos,
        context_overflow="slide" if options.slide else "stop",
        logprobs=options.json,
    )
    generator = load(options)
    prompt = read_prompt(options)
    interrupted = _InterruptFlag()
    stream = generator.stream(prompt, config, interrupted)
    if not options.json and isinstance(prompt, str) and sys.stdout.isatty():
        print(prompt, end="", flush=True)
    for piece in stream:
        if not options.json:
            print(piece, end="", flush=True)
    result = stream.result
    if interrupted():
        result = dataclasses.replace(result, finish_reason="interrupted")
    if options.json:
        print(json.dumps(_record(result), ensure_ascii=False))
    elif result.text is None:
        print(",".join(map(str, result.ids)))
    else:
        print()
    if sys.stderr.isatty():
        print(_summary(result), file=sys.stderr)
    return 0


class _InterruptFlag:
    """should_stop that the first Ctrl-C sets; a second one interrupts at once."""

    def __init__(self) -> None:
        self._set = False
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._set = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __call__(self) -> bool:
        return self._set


def _unescaped(text: str) -> str:
    r"""`text` with \n and \t as the characters they stand for: shells make those hard to type."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


def _record(result: GenerationResult) -> dict[str, Any]:
    return dataclasses.asdict(result) | {
        "prompt_tokens_per_second": round(result.prompt_tokens_per_second, 1),
        "decode_tokens_per_second": round(result.decode_tokens_per_second, 1),
    }


def _summary(result: GenerationResult) -> str:
    seed = f", seed {result.seed}" if result.seed is not None else ""
    return (
        f"[{len(result.ids)} tokens, {result.finish_reason}{seed}; prompt "
        f"{result.prompt_tokens_per_second:.0f} tok/s, "
        f"decode {result.decode_tokens_per_second:.0f} tok/s]"
    )
