"""The engine without HTTP: errors of the graph, ends, and places."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gpt2_edge.calls import make_job
from gpt2_edge.config import GenerationConfig
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.request import SingleText
from gpt2_edge.decode.rows import make_rows
from gpt2_edge.generate import Generator
from gpt2_edge_server.engine import Engine
from gpt2_edge_server.errors import ApiError
from gpt2_edge_server.metrics import Metrics
from gpt2_edge_server.pool import GaveUp, Pool
from server.served import PATIENCE


def texts(generator: Generator, count: int = 1, **settings: Any) -> list[SingleText]:
    config = GenerationConfig(**{"max_new_tokens": 5, "num_return_sequences": count, **settings})
    found = [request for request, _ in make_job(generator, "A", config, None, {}).requests()]
    assert all(isinstance(text, SingleText) for text in found)
    return found  # type: ignore[return-value]


def within(
    generator: Generator, test: Callable[[Engine, Decoder], Coroutine[Any, Any, None]]
) -> None:
    """Run `test` with an engine of two rows and a queue of one."""

    async def whole() -> None:
        decoder = Decoder(make_rows(generator.session, 2, generator.context_length))
        engine = Engine(decoder, 2, 1, Metrics())
        engine.start(asyncio.get_running_loop())
        try:
            await asyncio.wait_for(test(engine, decoder), PATIENCE)
        finally:
            engine.stop()

    asyncio.run(whole())


def test_texts_are_written(generator: Generator) -> None:
    async def test(engine: Engine, decoder: Decoder) -> None:
        with engine.reserved(3):
            call = engine.submit(texts(generator, 3, seed=1))
            await call.finished()
        assert [len(text.new_ids) for text in call.texts] == [5, 5, 5]
        assert (engine.taken, engine.running, engine.waiting) == (0, 0, 0)

    within(generator, test)


def test_an_error_of_the_graph_ends_what_runs_and_nothing_else(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As a library in Rust raises it."""

    async def test(engine: Engine, decoder: Decoder) -> None:
        for raised in (RuntimeError("the graph"), Panic("the library")):

            def broken(*_: object, error: BaseException = raised) -> None:
                raise error

            with monkeypatch.context() as patch:
                patch.setattr(decoder, "_admit", broken)
                with pytest.raises(Exception, match=str(raised)):
                    await engine.submit(texts(generator)).finished()
            call = engine.submit(texts(generator))
            await call.finished()
            assert len(call.texts[0].new_ids) == 5
        assert decoder.idle == [0, 1] or decoder.idle == [1, 0]

    within(generator, test)


def test_an_error_of_one_text_ends_it_alone(generator: Generator) -> None:
    def broken(ids: object, logits: Any) -> Any:
        raise ValueError("not this one")

    async def test(engine: Engine, decoder: Decoder) -> None:
        config = GenerationConfig(max_new_tokens=5)
        job = make_job(generator, "A", config, None, {"logits_processor": [broken]})
        ((bad, _),) = job.requests()
        assert isinstance(bad, SingleText)
        one, other = engine.submit([bad]), engine.submit(texts(generator))
        with pytest.raises(ValueError, match="not this one"):
            await one.finished()
        await other.finished()
        assert len(other.texts[0].new_ids) == 5

    within(generator, test)


def test_places(generator: Generator) -> None:
    async def test(engine: Engine, decoder: Decoder) -> None:
        with pytest.raises(ApiError) as refused, engine.reserved(4):
            pass
        assert refused.value.status == 400
        with engine.reserved(2):
            with pytest.raises(ApiError) as busy, engine.reserved(2):
                pass
            assert busy.value.status == 429
            with engine.reserved(1):
                assert engine.taken == 3
        assert engine.taken == 0
        engine.close()
        with pytest.raises(ApiError) as closing, engine.reserved(1):
            pass
        assert closing.value.status == 503

    within(generator, test)


def test_what_is_ended_ends_at_once(generator: Generator) -> None:
    async def test(engine: Engine, decoder: Decoder) -> None:
        endless = {"max_new_tokens": 10**6, "context_overflow": "slide", "ignore_eos": True}
        call = engine.submit(texts(generator, **endless))
        while not call.texts[0].new_ids:
            await asyncio.sleep(0.001)
        engine.end_all("length")
        await call.finished()
        assert call.texts[0].finish_reason == "length"
        while engine.running:
            await asyncio.sleep(0.001)
        with pytest.raises(ApiError) as late:  # what was prepared meanwhile
            engine.submit(texts(generator))
        assert late.value.status == 503

    within(generator, test)


def test_a_process_that_forgets_it_ends_behind_its_step(generator: Generator) -> None:
    program = """
import asyncio, sys, time
from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.calls import make_job
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.rows import make_rows
from gpt2_edge_server.engine import Engine
from gpt2_edge_server.metrics import Metrics

generator = Generator.load(sys.argv[1])
decoder = Decoder(make_rows(generator.session, 1, generator.context_length))
engine = Engine(decoder, 1, 1, Metrics())
step = decoder.step

def slow_step():
    print("begun", flush=True)
    time.sleep(0.5)
    step()
    print("done", flush=True)

async def leave():
    decoder.step = slow_step
    engine.start(asyncio.get_running_loop())
    config = GenerationConfig(max_new_tokens=50)
    engine.submit([text for text, _ in make_job(generator, "A", config, None, {}).requests()])
    await asyncio.sleep(0.2)

asyncio.run(leave())
"""
    process = subprocess.run(
        [sys.executable, "-c", program, str(generator.package.folder)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    lines = process.stdout.splitlines()
    assert lines
    assert lines == ["begun", "done"] * (len(lines) // 2)


def test_a_pool_is_bounded_and_forgets_who_left() -> None:
    async def test() -> None:
        pool = Pool("test", 1, 2)
        told: list[str] = []

        def long(gone: Callable[[], bool]) -> None:
            told.append("begun")
            while not gone():
                pass
            told.append("gone")
            raise GaveUp

        first = asyncio.ensure_future(pool.run(long))
        second = asyncio.ensure_future(pool.run(long))
        while not told:
            await asyncio.sleep(0.001)
        with pytest.raises(ApiError) as busy:
            await pool.run(lambda gone: None)
        assert busy.value.status == 429
        second.cancel()  # which never began
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        while pool.taken:
            await asyncio.sleep(0.001)
        assert told == ["begun", "gone"]
        assert await pool.run(lambda gone: 5) == 5
        pool.stop()

    asyncio.run(asyncio.wait_for(test(), PATIENCE))
