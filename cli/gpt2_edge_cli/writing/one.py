"""One prompt: its text is shown as it is written, or its record is printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gpt2_edge.errors import GenerationError
from gpt2_edge_cli import streams
from gpt2_edge_cli.interrupt import FirstInterrupt
from gpt2_edge_cli.terminal import Screen, json_line
from gpt2_edge_cli.writing.records import (
    interrupted,
    is_context_full,
    record,
    summary,
    summary_of_several,
    write_texts,
)

if TYPE_CHECKING:
    import argparse

    from gpt2_edge.config import GenerationConfig
    from gpt2_edge.generate import GenerationResult, Generator, TextStream
    from gpt2_edge.model import Prompt
    from gpt2_edge.prompt_cache import PromptCache


def write_one(
    generator: Generator,
    prompt: Prompt,
    ids: list[int],
    config: GenerationConfig,
    options: argparse.Namespace,
    assistant: Generator | None = None,
    cache: PromptCache | None = None,
) -> None:
    """Continue `prompt`, whose tokens are `ids`, and show what came of it."""
    settings = config.resolved(generator.generation_config)
    several = settings.num_beams > 1 or settings.num_return_sequences > 1
    if several and options.stream:
        raise GenerationError("--stream is for one text as it comes; beams and several texts are "
                              "there at their end")  # fmt: skip
    screen = Screen()
    if not options.json and (options.echo or (screen.is_terminal and not options.no_echo)):
        screen.write(_echoed(generator, prompt), dim=True)
        screen.write("\n" if several else "")
    has_text = generator.tokenizer is not None
    with FirstInterrupt() as stop:
        if several:
            result = generator.generate(ids, config, stop, assistant=assistant, cache=cache)
        else:
            stream = generator.stream(ids, config, stop, assistant=assistant, cache=cache)
            if options.json:
                _stream_json(stream, has_text, options.stream)
            else:
                _stream_text(stream, has_text, screen)
            result = stream.result
    if stop():
        result = interrupted(result)
    full = is_context_full(result, generator, settings)
    if options.json:
        print(json_line(record(result, generator, prompt, ids, full)))
    elif several:
        write_texts(result, screen)
    streams.flush_output()  # so that at a terminal the text stands before the summary
    if streams.is_terminal(sys.stderr):
        streams.note(_line(result, full))


def _line(result: GenerationResult, full: bool) -> str:
    if not result.sequences:
        return summary(result, full)
    return summary_of_several([result], result.prompt_seconds + result.decode_seconds)


def _echoed(generator: Generator, prompt: Prompt) -> str:
    if isinstance(prompt, str):
        return prompt
    if generator.tokenizer is not None:
        return generator.tokenizer.decode(prompt)
    return "".join(f"{token_id}," for token_id in prompt)


def _stream_text(stream: TextStream, has_text: bool, screen: Screen) -> None:
    """Show the text, or the ids of a package without a tokenizer, as they come."""
    shown, ended = 0, False
    try:
        for piece in stream:
            if has_text:
                screen.write(piece)
            else:
                new = map(str, stream.ids[shown:])
                screen.write(("," if shown else "") + ",".join(new))
            shown = len(stream.ids)
        ended = True
    finally:
        if ended or shown or screen.is_terminal:  # where nothing came, programs get nothing
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
