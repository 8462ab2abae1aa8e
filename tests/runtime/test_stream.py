"""A stream that is not read to its end: what it leaves behind, and what its result says."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gpt2_edge import GenerationConfig, GenerationError, Generator
from gpt2_edge.decode.rows import SharedRows, make_rows
from gpt2_edge.graph.run import GraphRun
from gpt2_edge.graph.session import Session

PROMPT = "The man in the boat said that he"
MANY = GenerationConfig(max_new_tokens=60)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How many rows, with a buffer, are in memory; nothing is left to the collector."""
    sequences: list[weakref.ref[Any]] = []

    def watched(session: Session, rows: int, capacity: int) -> Any:
        made = make_rows(session, rows, capacity)
        assert isinstance(made, SharedRows)
        sequences.extend([weakref.ref(made), weakref.ref(made._buffers[0])])
        return made

    monkeypatch.setattr("gpt2_edge.jobs.make_rows", watched)
    gc.collect()
    gc.disable()
    yield lambda: sum(reference() is not None for reference in sequences)
    gc.enable()


def test_a_stream_that_is_read_frees_its_cache(fp32: Generator, alive: Callable[[], int]) -> None:
    stream = fp32.stream(PROMPT, max_new_tokens=4)
    next(stream)
    assert alive() == 2
    list(stream)
    assert alive() == 0
    assert stream.result.finish_reason == "length"


def test_close_frees_the_cache_at_once(fp32: Generator, alive: Callable[[], int]) -> None:
    stream = fp32.stream(PROMPT, MANY)
    pieces = [next(stream) for _ in range(5)]
    assert alive() == 2
    stream.close()
    assert alive() == 0
    result = stream.result
    assert (result.text, result.finish_reason) == ("".join(pieces), "cancelled")
    assert result.ids == fp32.generate(PROMPT, MANY).ids[: len(result.ids)]
    assert 5 <= len(result.ids) < 60
    assert next(stream, "ended") == "ended"
    stream.close()
    assert stream.result == result


def test_leaving_the_block_frees_the_cache(fp32: Generator, alive: Callable[[], int]) -> None:
    with fp32.stream(PROMPT, MANY) as stream:
        for _ in stream:
            break
        assert alive() == 2
    assert alive() == 0
    assert stream.result.finish_reason == "cancelled"


def test_an_exception_of_the_reader_frees_the_cache(
    fp32: Generator, alive: Callable[[], int]
) -> None:
    def read() -> None:
        with fp32.stream(PROMPT, MANY) as stream:
            raise ZeroDivisionError(next(stream))

    with pytest.raises(ZeroDivisionError):
        read()
    assert alive() == 0


def test_dropping_the_stream_frees_the_cache(fp32: Generator, alive: Callable[[], int]) -> None:
    stream = fp32.stream(PROMPT, MANY)
    next(stream)
    assert alive() == 2
    del stream
    assert alive() == 0


def test_dropping_the_iterator_over_tokens_frees_the_cache(
    fp32: Generator, alive: Callable[[], int]
) -> None:
    tokens = fp32.tokens(PROMPT, MANY)
    next(tokens)
    assert alive() == 2
    tokens.close()
    assert alive() == 0
    tokens = fp32.tokens(PROMPT, MANY)
    next(tokens)
    del tokens
    assert alive() == 0


def test_a_stream_that_was_never_read_can_be_closed(
    fp32: Generator, alive: Callable[[], int]
) -> None:
    with fp32.stream(PROMPT, MANY) as stream:
        pass
    assert (stream.result.text, stream.result.ids) == ("", ())
    assert (stream.result.finish_reason, stream.result.prompt_seconds) == ("cancelled", 0)
    assert list(stream) == []
    assert alive() == 0


def test_a_stream_that_ended_keeps_its_reason_when_it_is_closed(fp32: Generator) -> None:
    with fp32.stream(PROMPT, max_new_tokens=3) as stream:
        list(stream)
    assert stream.result.finish_reason == "length"


def test_a_stream_can_be_closed_by_its_should_stop(fp32: Generator) -> None:
    def close() -> bool:
        if len(read) == 3:
            stream.close()
        return False

    read: list[str] = []
    stream = fp32.stream(PROMPT, MANY, close)
    for piece in stream:
        read.append(piece)
    assert (stream.result.text, stream.result.finish_reason) == ("".join(read), "cancelled")


def test_another_thread_can_close_a_stream(fp32: Generator) -> None:
    asked, going_on = threading.Event(), threading.Event()

    def wait() -> bool:
        asked.set()
        return not going_on.wait(60)

    stream = fp32.stream(PROMPT, MANY, wait)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(stream))
    reader.start()
    assert asked.wait(60)
    stream.close()
    going_on.set()
    reader.join(60)
    assert not reader.is_alive()
    assert stream.result.finish_reason == "cancelled"
    assert len(stream.result.ids) <= 1


def test_a_stream_that_was_closed_or_read_has_a_result(fp32: Generator) -> None:
    stream = fp32.stream(PROMPT, MANY)
    next(stream)
    with pytest.raises(GenerationError, match="the stream has not ended"):
        _ = stream.result


def test_times_are_the_model_s_and_not_the_reader_s(
    fp32: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock that the reader alone moves: between two tokens, by an hour.
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    stream = fp32.stream(PROMPT, max_new_tokens=6)
    for _ in stream:
        now += 3600
    assert (stream.result.prompt_seconds, stream.result.decode_seconds) == (0, 0)


def test_steps_of_the_model_are_timed(fp32: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    run = GraphRun.one

    def slow(self: GraphRun, *arguments: Any) -> Any:
        nonlocal now
        now += 0.5
        return run(self, *arguments)

    monkeypatch.setattr(GraphRun, "one", slow)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    result = fp32.generate(PROMPT, max_new_tokens=5)
    assert (result.prompt_seconds, result.decode_seconds) == (0.5, 2.0)
    assert result.decode_tokens_per_second == 2
    assert result.prompt_tokens_per_second == 2 * result.prompt_tokens


def test_what_was_not_fed_to_its_end_has_no_rate(fp32: Generator) -> None:
    result = fp32.generate(PROMPT, MANY, lambda: True)
    assert (result.ids, result.prompt_tokens_per_second) == ((), 0)


def test_a_stream_says_where_it_is(fp32: Generator) -> None:
    stream = fp32.stream(PROMPT, max_new_tokens=3)
    assert repr(stream) == "<TextStream 0 tokens, not ended>"
    list(stream)
    assert repr(stream) == "<TextStream 3 tokens, 'length'>"
