"""Threads that share a decoder: whoever takes the steps, every text is as alone."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from decode.scripted import VOCAB, ScriptedRows, plain
from gpt2_edge import GenerationError, Generator
from gpt2_edge.decode.draft import prompt_lookup
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.request import Limits, SingleText
from gpt2_edge.sampling import candidates, draw
from helpers import assert_one_line

THREADS, REQUESTS, CAPACITY = 8, 1000, 40


def one(decoder: Decoder, number: int, alive: weakref.WeakSet[SingleText]) -> None:
    """Submit a request, step until it has ended, and compare it with the plain loop."""
    source = random.Random(number)
    prompt = [source.randrange(VOCAB) for _ in range(source.randint(1, 20))]
    limits = Limits(source.randint(1, 30), (0,) if source.random() < 0.5 else ())

    def choose(logits, index):  # type: ignore[no-untyped-def]
        return candidates(logits, 1.0, 0).at(draw(number, index))

    drafter = prompt_lookup() if source.random() < 0.3 else None
    request = SingleText(prompt, limits, choose, drafter=drafter, draft_tokens=4)
    cut = source.randint(0, 12) if source.random() < 0.2 else None
    alive.add(request)
    decoder.submit(request)
    told: list[int] = []
    steps = 0
    while True:
        over = request.over
        while request.events:
            told += request.events.popleft().ids
        if over:
            break
        if steps == cut:
            decoder.cancel(request)
        decoder.step()
        steps += 1
    if request.error is not None:
        raise request.error
    ids, reason = plain(prompt, limits, choose, CAPACITY)
    assert told == request.new_ids == ids[: len(told)]
    if request.finish_reason != "cancelled":
        assert (told, request.finish_reason) == (ids, reason)


def test_a_thousand_requests_of_eight_threads_are_as_alone() -> None:
    rows = ScriptedRows(6, CAPACITY)
    decoder, alive = Decoder(rows), weakref.WeakSet[SingleText]()
    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(one, decoder, number, alive) for number in range(REQUESTS)]:
            future.result(timeout=120)
    assert decoder.active == 0
    gc.collect()
    assert len(alive) == 0  # nothing keeps what has ended
    assert sorted(decoder.idle) == list(range(6))  # no row is lost


def test_threads_that_share_a_cache_lose_nothing(fp32: Generator) -> None:
    cache, prompts = fp32.new_cache(), ["The man", "What do you", "Once upon a time", "He said"]
    expected = [fp32.generate(prompt, max_new_tokens=25).text for prompt in prompts]
    start = threading.Barrier(len(prompts))

    def write(prompt: str) -> tuple[str, str | None]:
        start.wait()
        with fp32.stream(prompt, max_new_tokens=25, cache=cache) as stream:
            return "".join(stream), stream.events.result.text

    with ThreadPoolExecutor(len(prompts)) as pool:
        found = list(pool.map(write, prompts))
    assert found == [(text, text) for text in expected]


def test_ending_a_text_waits_for_no_step() -> None:
    in_step, go_on = threading.Event(), threading.Event()
    decoder = Decoder(ScriptedRows(2, CAPACITY))

    def wait() -> bool:
        in_step.set()
        return not go_on.wait(60)

    limits = Limits(30, ())
    slow = SingleText([1, 2], limits, lambda logits, _: int(logits.argmax()), should_stop=wait)
    other = SingleText([3], limits, lambda logits, _: int(logits.argmax()))
    decoder.submit(slow)
    decoder.submit(other)
    stepping = threading.Thread(target=decoder.step)
    stepping.start()
    assert in_step.wait(60)
    decoder.cancel(other)  # while the step goes on
    decoder.cancel(slow)
    assert (slow.finish_reason, other.finish_reason) == ("cancelled", "cancelled")
    assert stepping.is_alive()
    go_on.set()
    stepping.join(60)
    assert slow.new_ids == other.new_ids == []
    assert decoder.active == 0
    assert sorted(decoder.idle) == [0, 1]


def test_a_text_that_another_s_function_ends_in_their_common_step() -> None:
    decoder = Decoder(ScriptedRows(3, CAPACITY))
    limits = Limits(8, ())
    other = SingleText([2], limits, lambda logits, _: int(logits.argmax()))

    def end_the_other(ids, logits):  # type: ignore[no-untyped-def]
        if len(ids) == 4:
            decoder.cancel(other)
        return logits

    one = SingleText([1], limits, lambda logits, _: int(logits.argmax()), [end_the_other])
    for request in (one, other):
        decoder.submit(request)
    for _ in range(10):
        decoder.step()
    assert (one.error, one.finish_reason, other.finish_reason) == (None, "length", "cancelled")
    alone, _ = plain([2], limits, lambda logits, _: int(logits.argmax()), CAPACITY)
    assert other.new_ids == alone[: len(other.new_ids)]
    assert sorted(decoder.idle) == [0, 1, 2]


def test_a_dropped_stream_or_batch_frees_the_cache(fp32: Generator) -> None:
    cache = fp32.new_cache()
    stream = fp32.stream("The man", max_new_tokens=500, context_overflow="slide", cache=cache)
    next(stream)
    assert cache.decoder.active == 1
    del stream
    assert cache.decoder.active == 0
    batch = fp32.stream_batch(["The man", "He said"], max_new_tokens=50, cache=cache)
    next(batch)
    del batch
    assert cache.decoder.active == 0
    assert fp32.generate("The man", max_new_tokens=3, cache=cache).finish_reason == "length"


def test_a_function_of_a_generation_cannot_write_with_its_cache(fp32: Generator) -> None:
    cache = fp32.new_cache()

    def write(ids, logits):  # type: ignore[no-untyped-def]
        fp32.generate("He said", max_new_tokens=2, cache=cache)
        return logits

    with pytest.raises(GenerationError, match="same cache") as caught:
        fp32.generate("The man", max_new_tokens=3, cache=cache, logits_processor=[write])
    assert_one_line(caught.value, "another one")
    assert fp32.generate("The man", max_new_tokens=3, cache=cache).finish_reason == "length"


def test_an_error_in_a_step_of_another_thread_is_raised_where_it_belongs(fp32: Generator) -> None:
    cache = fp32.new_cache()

    def fail(ids, logits):  # type: ignore[no-untyped-def]
        raise ZeroDivisionError

    batch = fp32.stream_batch(["The man"], max_new_tokens=5, cache=cache, logits_processor=[fail])
    cache.decoder.step()  # as another reader of the same cache would
    with pytest.raises(ZeroDivisionError):
        list(batch)
    assert batch.failed == 0
