"""gpt2-edge generate: prompts in, their continuations out as they are written."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import ContextOverflowError, GenerationError
from gpt2_edge_cli import streams
from gpt2_edge_cli.arguments import (
    add_package,
    add_prompt,
    add_prompt_file,
    load,
    load_assistant,
    read_prompt,
    utf_8,
)
from gpt2_edge_cli.setting_options import IDS_NOTE, add_settings, given_settings, one_line_help
from gpt2_edge_cli.signals import Loading

if TYPE_CHECKING:
    from gpt2_edge.config import GenerationConfig
    from gpt2_edge.generate import Generator
    from gpt2_edge.model import Prompt

_EXAMPLES = f"""Where no option is given, the package's own settings (generation_config.json) hold.
If it has none, the likeliest token is taken each time ("greedy"): always the same text,
which soon repeats itself. --do-sample, or any of --temperature, --top-k, --top-p, --min-p,
--typical-p and --seed, draws tokens at random by their probabilities.
{IDS_NOTE}

At a terminal the prompt is shown dim, in front of the text. Ctrl-C ends the text where it is, a
second one the command.

A line of a --jsonl file is {{"prompt": "..."}} or {{"ids": [...]}}, with an "id" that comes back
and settings by name ("top_k": 40) if you like; all lines are checked before the first is
computed. What comes out is one JSON object per line, in the same order.

examples:
  gpt2-edge generate PACKAGE "It was a dark night" -n 200
  gpt2-edge generate PACKAGE "Dear Sir," --temperature 0.8 --top-p 0.95 --seed 7
  gpt2-edge generate PACKAGE "One day" "The sea" --num-return-sequences 2 --seed 7
  gpt2-edge generate PACKAGE "One day" --num-beams 4 --no-repeat-ngram-size 3
  gpt2-edge generate PACKAGE "He said" --choices " yes" --choices " no"
  gpt2-edge generate PACKAGE -f prompt.txt --stop "\\n\\n" --json
  gpt2-edge generate PACKAGE --jsonl prompts.jsonl > texts.jsonl
  gpt2-edge generate PACKAGE -f long.txt --cache-file long.cache    reads it once
  gpt2-edge generate PACKAGE -- "-5 degrees and"     a text that looks like an option
  gpt2-edge generate PACKAGE --ids 464,3290          a package without a tokenizer
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "generate",
        help="continue a prompt",
        description="Write on from a prompt, or from many.",
        epilog=_EXAMPLES,
        formatter_class=one_line_help,
    )
    add_package(parser)
    add_prompt(parser)
    parser.add_argument("more", nargs="*", metavar="TEXT ...", help="more prompts, a text for each")
    add_prompt_file(parser)
    add = parser.add_argument
    add("--jsonl", metavar="FILE", help="prompts, one JSON object per line (-: stdin)")
    add("--cache-file", metavar="FILE", help="keep the prompt's keys and values in FILE; read "
        "only what it does not hold yet")  # fmt: skip
    add("--assistant", metavar="PACKAGE", help="a small package that guesses, for speed")
    echo = parser.add_mutually_exclusive_group()
    echo.add_argument("--echo", action="store_true", help="print the prompt, too")
    echo.add_argument(
        "--no-echo",
        action="store_true",
        help="print only the new text (default: --echo at a terminal)",
    )
    add("--json", action="store_true", help="print the whole result as JSON")
    add("--stream", action="store_true", help="with --json: a line for each piece when it is "
        "written, the result on the last line")  # fmt: skip
    add_settings(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    _check(options)
    with Loading():
        from gpt2_edge.config import GenerationConfig

        config = GenerationConfig(**_settings(options))
    generator = load(options)
    assistant = load_assistant(options)
    if options.jsonl is not None:
        from gpt2_edge_cli.writing.lines import write_lines

        write_lines(generator, options.jsonl, config, assistant)
        return 0
    if options.more:
        from gpt2_edge_cli.writing.several import write_several

        prompts = [utf_8(text, "the text") for text in (options.prompt, *options.more)]
        tokens = [_prompt_ids(generator, prompt, config) for prompt in prompts]
        write_several(generator, prompts, tokens, config, options.json, assistant)
        return 0
    from gpt2_edge_cli.writing.cache_file import open_cache
    from gpt2_edge_cli.writing.one import write_one

    cache = None if options.cache_file is None else open_cache(generator, options.cache_file)
    prompt = read_prompt(options)
    ids = _prompt_ids(generator, prompt, config)
    write_one(generator, prompt, ids, config, options, assistant, cache)
    if cache is not None:
        cache.save(options.cache_file)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise GenerationError for options that do not go together."""
    if options.stream and not options.json:
        raise GenerationError("--stream goes with --json; plain text is streamed anyway")
    if (options.logprobs or options.top_logprobs) and not (options.json or options.jsonl):
        raise GenerationError("--logprobs and --top-logprobs are told by --json only")
    texts = [options.prompt, *options.more]
    if options.more:
        for name, value in (("--ids", options.ids), ("-f/--file", options.file)):
            if value is not None:
                raise GenerationError(f"give the prompt as text or with {name}, not both")
        if "-" in texts:
            raise GenerationError("- is standard input, for one prompt; several stand in a file: "
                                  "--jsonl FILE")  # fmt: skip
    if options.jsonl is not None:
        if any(value is not None for value in (options.prompt, options.ids, options.file)):
            raise GenerationError("--jsonl has the prompts; leave out the others")
        if options.stream or options.echo:
            raise GenerationError("--jsonl prints an object for each text when it has ended; leave "
                                  f"out {'--stream' if options.stream else '--echo'}")  # fmt: skip
    if options.cache_file is not None and (options.more or options.jsonl is not None):
        raise GenerationError("--cache-file is for one prompt; leave out the others")
    if options.stream and options.more:
        raise GenerationError("--stream is for one prompt; leave out the others")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    settings = given_settings(options)
    if options.json:
        settings["logprobs"] = True
    return settings


def _prompt_ids(generator: Generator, prompt: Prompt, config: GenerationConfig) -> list[int]:
    """The ids of the prompt; with --slide, as many as count where all of it does not fit."""
    from gpt2_edge.decode.window import fitted

    ids = generator.prompt_ids(prompt)
    try:
        generator.check_fits(ids)
        return ids
    except ContextOverflowError as error:
        if config.context_overflow != "slide":
            raise ContextOverflowError(f"{error}; --slide takes the end of it") from error
    room = generator.context_length
    first = min(config.keep, room - 1)
    what = f"the first {first:,} and the last {room - first:,}" if first else f"the last {room:,}"
    streams.say(f"the prompt has {len(ids):,} tokens; {what} of them count")
    return fitted(ids, room, config.keep)
