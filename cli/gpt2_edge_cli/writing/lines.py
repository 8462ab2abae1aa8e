"""--jsonl: many prompts in, a JSON object for each out, in the order and memory of a few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gpt2_edge.errors import GPT2EdgeError
from gpt2_edge_cli import streams
from gpt2_edge_cli.progress import Progress
from gpt2_edge_cli.terminal import json_line
from gpt2_edge_cli.writing.prompt_lines import PromptFile, PromptLine
from gpt2_edge_cli.writing.records import is_context_full, record

if TYPE_CHECKING:
    from gpt2_edge.config import GenerationConfig
    from gpt2_edge.generate import Generator
    from gpt2_edge.result import GenerationResult

# Texts that wait for each other at the end of a group: a few times the rows that step together.
_GROUP = 64


def write_lines(
    generator: Generator, name: str, config: GenerationConfig, assistant: Generator | None
) -> None:
    """Continue the prompts in the file `name`; results go to standard output as they come.

    Every line is checked before the first text is begun: GenerationError with its number.
    """
    with PromptFile(name, generator, config) as prompts:
        count = _checked(generator, prompts)
        with Progress(count, "texts") as progress:
            for group in _groups(generator, prompts.lines(), 1 if assistant else _GROUP):
                _write_group(generator, prompts, group, progress, assistant)


def _checked(generator: Generator, prompts: PromptFile) -> int:
    """How many prompts there are, none of which would be refused."""
    from gpt2_edge.calls import make_job

    count = 0
    with Progress(None, "lines checked") as progress:
        for line in prompts.lines():
            with prompts.named(line.number):
                make_job(generator, line.ids, line.config, None, {}).requests()
            count += 1
            progress.show(count)
    return count


def _groups(
    generator: Generator, lines: Iterator[PromptLine], most: int
) -> Iterator[list[PromptLine]]:
    """The lines in groups of at most `most` texts, or of one line."""
    group: list[PromptLine] = []
    texts = 0
    for line in lines:
        settings = line.config.resolved(generator.generation_config)
        width = max(settings.num_beams, settings.num_return_sequences)
        if group and texts + width > most:
            yield group
            group, texts = [], 0
        group.append(line)
        texts += width
    if group:
        yield group


def _write_group(
    generator: Generator,
    prompts: PromptFile,
    group: Sequence[PromptLine],
    progress: Progress,
    assistant: Generator | None,
) -> None:
    told = 0
    ids, configs = [line.ids for line in group], [line.config for line in group]
    with generator.stream_batch(ids, configs, assistant=assistant) as batch:

        def tell() -> None:
            """Print the results that are there, up to the first that is not."""
            nonlocal told
            while told < len(group) and (result := batch.result(told)) is not None:
                with progress.hidden():
                    _print(generator, group[told], result)
                told += 1
                progress.add(1, sum(len(text.ids) for text in result.sequences or (result,)))

        try:
            for _ in batch:
                tell()
                progress.refresh()
        except GPT2EdgeError:
            if batch.failed is None:
                raise
            with prompts.named(group[batch.failed].number):
                raise
        tell()


def _print(generator: Generator, line: PromptLine, result: GenerationResult) -> None:
    settings = line.config.resolved(generator.generation_config)
    full = is_context_full(result, generator, settings)
    prompt = line.ids if line.text is None else line.text
    # In one piece, so that a signal leaves whole lines.
    print(json_line(line.tag | record(result, generator, prompt, line.ids, full)))
    streams.flush_output()
