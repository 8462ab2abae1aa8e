"""Several prompts of one command: their texts are written together and shown in order."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from gpt2_edge_cli import streams
from gpt2_edge_cli.interrupt import FirstInterrupt
from gpt2_edge_cli.terminal import Screen, json_line
from gpt2_edge_cli.writing.records import (
    header,
    interrupted,
    is_context_full,
    record,
    summary_of_several,
    write_texts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpt2_edge.config import GenerationConfig
    from gpt2_edge.generate import GenerationResult, Generator


def write_several(
    generator: Generator,
    prompts: Sequence[str],
    ids: Sequence[list[int]],
    config: GenerationConfig,
    as_json: bool,
    assistant: Generator | None = None,
) -> None:
    """Continue each of `prompts`, whose tokens are `ids`; a text is shown when it has ended."""
    screen, settings = Screen(), config.resolved(generator.generation_config)
    told: list[GenerationResult] = []
    begun = time.perf_counter()
    with (
        FirstInterrupt() as stop,
        generator.stream_batch(ids, config, stop, assistant=assistant) as batch,
    ):

        def tell() -> None:
            """Show the texts that have ended, up to the first that has not."""
            while len(told) < len(prompts) and (result := batch.result(len(told))) is not None:
                number, prompt = len(told), prompts[len(told)]
                told.append(interrupted(result) if stop() else result)
                if as_json:
                    full = is_context_full(result, generator, settings)
                    print(json_line(record(told[-1], generator, prompt, ids[number], full)))
                    streams.flush_output()
                    continue
                screen.write(header(prompt, number + 1, len(prompts)), dim=True)
                write_texts(told[-1], screen)

        for _ in batch:
            tell()
        tell()
    if streams.is_terminal(sys.stderr):
        streams.note(summary_of_several(told, time.perf_counter() - begun))
