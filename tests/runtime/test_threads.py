"""Generations in several threads give what each gives alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpt2_edge import GenerationConfig, Generator

PROMPTS = ["The man in the boat", "What do you", "Once upon a time", "It was a dark night and"]
Task = tuple[str, GenerationConfig]
TASKS: list[Task] = [
    (prompt, config)
    for prompt in PROMPTS
    for config in (
        GenerationConfig(max_new_tokens=40),
        GenerationConfig(max_new_tokens=40, top_k=40, seed=5),
        GenerationConfig(max_new_tokens=40, top_k=8192, temperature=0.9, seed=6),
    )
]


@pytest.fixture(scope="module")
def alone(int4: Generator) -> list[tuple[int, ...]]:
    return [int4.generate(*task).ids for task in TASKS]


def in_threads(run: Callable[[Task], tuple[int, ...]]) -> list[tuple[int, ...]]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(run, TASKS))


def test_threads_that_share_a_generator(int4: Generator, alone: list[tuple[int, ...]]) -> None:
    assert in_threads(lambda task: int4.generate(*task).ids) == alone


def test_threads_with_a_generator_each(sample_int4: Path, alone: list[tuple[int, ...]]) -> None:
    assert in_threads(lambda task: Generator.load(sample_int4).generate(*task).ids) == alone


def test_streams_read_in_turn(int4: Generator, alone: list[tuple[int, ...]]) -> None:
    streams = [int4.stream(*task) for task in TASKS]
    unfinished = list(streams)
    while unfinished:
        unfinished = [stream for stream in unfinished if next(stream, None) is not None]
    assert [stream.result.ids for stream in streams] == alone
