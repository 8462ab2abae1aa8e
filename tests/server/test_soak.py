"""Some seconds of what servers see in years: benchmarks/server.py's soak, and what it leaves."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

from server.process import Served, served

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SECONDS = 7.0
linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
ENDLESS = {
    "prompt": "One day",
    "max_tokens": 60_000,
    "ignore_eos": True,
    "context_overflow": "slide",
    "stream": True,
}


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """benchmarks/server.py, with the scripts beside it that it imports."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    # Not as `server`, which is this folder's name.
    spec = importlib.util.spec_from_file_location("server_benchmark", BENCHMARKS / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["server_benchmark"] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
                del sys.modules[name]


@pytest.fixture(scope="module")
def load(benchmark: ModuleType) -> ModuleType:
    return sys.modules["server_load"]


@pytest.fixture(scope="module")
def soaking(benchmark: ModuleType) -> ModuleType:
    return sys.modules["server_soak"]


@pytest.fixture(scope="module")
def server(sample_fp32: Path) -> Iterator[Served]:
    with served(sample_fp32, "--max-rows", 4, "--max-queue", 8) as running:
        yield running


@linux
def test_nothing_is_left_of_bad_clients(benchmark: Any, server: Served) -> None:
    # The first run starts threads and fills caches, which stay.
    first, second = (
        asyncio.run(benchmark.soak(server.url, SECONDS, server.process.pid)) for _ in range(2)
    )
    for report in (first, second):
        assert report.failures == {}
        assert report.left["gpt2_edge_running"] == report.left["gpt2_edge_waiting"] == 0
        assert report.statuses["chunks without end", 200] == 0
    done = {name for name, status in first.statuses + second.statuses if status == 200}
    assert {"whole text", "stream", "stream, left", "slow reader", "pages"} <= done
    before, after = first.samples[-1], second.samples[-1]
    assert after.threads <= before.threads + 2
    assert after.files <= before.files + 8
    assert after.memory <= 1.3 * before.memory
    assert "Traceback" not in "".join(server.lines)


def test_a_client_that_leaves_gives_its_row_back(load: Any, soaking: Any, server: Served) -> None:
    """Rows and places: as many as there are can be taken, left, and taken again."""
    data = load.posted("/v1/completions", ENDLESS)
    rows = int(server.metrics()["gpt2_edge_rows"])

    async def reads(stack: AsyncExitStack) -> None:
        connection = await stack.enter_async_context(load.sent(server.url, data))
        assert connection.status == 200
        async for _ in connection.events():
            return

    async def rounds() -> None:
        for _ in range(5):
            async with AsyncExitStack() as stack:
                await asyncio.gather(*(reads(stack) for _ in range(rows)))
                assert (await load.metrics(server.url))["gpt2_edge_running"] == rows
                for _ in range(4):  # they wait for a row, and go before they have one
                    waiting = load.sent(server.url, data, answered=False)
                    await stack.enter_async_context(waiting)
            left = await soaking.settled(server.url)
            assert left["gpt2_edge_running"] == left["gpt2_edge_waiting"] == 0

    asyncio.run(rounds())


def test_the_benchmark_measures(
    benchmark: Any,
    server: Served,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("PROMPT", 4), ("NEW", 6), ("CLIENTS", 3)):
        monkeypatch.setattr(benchmark, name, value)
    prompts = [[300 + number, 17, 4, 9] for number in range(3)]
    seconds, texts = asyncio.run(benchmark.together(server.url, prompts, 6, temperature=0))
    figures = benchmark.figures_of(seconds, texts)
    assert 0 < figures.first < seconds
    assert figures.rate == pytest.approx(18 / seconds)
    half = benchmark.Figures(figures.rate / 2, figures.first)
    measured = {("gpt2-edge", 1): half, ("gpt2-edge", 3): figures}
    measured |= {("llama-server", 1): figures, ("llama-server", 3): half}
    benchmark.print_table("tiny", measured)
    printed = capsys.readouterr().out
    assert "| gpt2-edge | 3 |" in printed
    assert "| 2.00 |" in printed
    assert "1 client: 0.50; 3: 2.00" in printed


def test_a_random_tokenizer_takes_every_text(benchmark: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    path = benchmark.write_random_tokenizer(3000, tmp_path / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    assert tokenizer.get_vocab_size() == 3000
    text = "It was late; \u00e9\U0001f600"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.token_to_id("<|endoftext|>") == 2999
    # Random tokens are as much text as those of a model.
    assert all(tokenizer.decode([token]).strip("\ufffd") for token in range(300, 2999))
