"""Threads that share a decoder: whoever takes the steps, every text is as alone."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

from decode.scripted import VOCAB, ScriptedRows, plain
from gpt2_edge import Generator
from gpt2_edge.decode.draft import prompt_lookup
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.request import Limits, SingleText
from gpt2_edge.sampling import candidates, draw

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
