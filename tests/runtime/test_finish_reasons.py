"""How a generation ends: eos, stop, length, cancelled, or with the caller's exception."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from gpt2_edge import GenerationConfig, GenerationError, Generator
from gpt2_edge.files.package import Package
from gpt2_edge.graph.run import GraphRun
from helpers import assert_one_line

PROMPT = "The man in the boat said that he"
TWENTY = GenerationConfig(max_new_tokens=20)


@pytest.fixture(scope="module")
def greedy(fp32: Generator) -> tuple[int, ...]:
    """The ids that the tests below end early."""
    return fp32.generate(PROMPT, TWENTY).ids


def with_eos(generator: Generator, *eos: int) -> Generator:
    """The same model with other end-of-text tokens."""
    manifest = dataclasses.replace(generator.manifest, eos_token_ids=eos)
    package = Package(generator.package.folder, manifest)
    return Generator(package, generator.session, generator.tokenizer)


def after(calls: int) -> Callable[[], bool]:
    """A should_stop that says so once it was asked `calls` times in vain."""
    answers = iter([False] * calls)
    return lambda: next(answers, True)


def test_length(fp32: Generator) -> None:
    result = fp32.generate(PROMPT, TWENTY)
    assert (len(result.ids), result.finish_reason) == (20, "length")


def test_eos(fp32: Generator, greedy: tuple[int, ...]) -> None:
    eos = next(token for n, token in enumerate(greedy) if n > 4 and token not in greedy[:n])
    result = with_eos(fp32, eos).generate(PROMPT, TWENTY)
    assert result.finish_reason == "eos"
    assert result.ids == greedy[: greedy.index(eos) + 1]


def test_any_of_several_eos_tokens_ends_the_text(fp32: Generator, greedy: tuple[int, ...]) -> None:
    result = with_eos(fp32, 0, greedy[0], 1).generate(PROMPT, TWENTY)
    assert (result.ids, result.finish_reason) == (greedy[:1], "eos")


def test_eos_as_the_last_token_allowed(fp32: Generator, greedy: tuple[int, ...]) -> None:
    result = with_eos(fp32, greedy[0]).generate(PROMPT, GenerationConfig(max_new_tokens=1))
    assert (result.ids, result.finish_reason) == (greedy[:1], "eos")


def test_an_eos_that_is_a_special_token_is_no_text(
    fp32: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = iter([*fp32.encode("so it ends"), 0, 5])
    monkeypatch.setattr("gpt2_edge.requests.make_chooser", lambda *_: lambda *_: next(chosen))
    result = fp32.generate(PROMPT, TWENTY)
    assert (result.text, result.finish_reason) == ("so it ends", "eos")
    assert result.ids[-1] == 0


def test_ignore_eos(fp32: Generator, greedy: tuple[int, ...]) -> None:
    config = dataclasses.replace(TWENTY, ignore_eos=True)
    result = with_eos(fp32, *greedy).generate(PROMPT, config)
    assert (result.ids, result.finish_reason) == (greedy, "length")


def test_stop(fp32: Generator, greedy: tuple[int, ...]) -> None:
    text = fp32.generate(PROMPT, TWENTY).text
    assert text is not None
    string = text[15:22]  # a few words on, across the borders of tokens
    result = fp32.generate(PROMPT, dataclasses.replace(TWENTY, stop_strings=(string,)))
    assert result.finish_reason == "stop"
    assert result.text == text.partition(string)[0]
    assert result.ids == greedy[: len(result.ids)]
    assert len(result.ids) < 20


def test_text_held_back_for_a_stop_string_comes_at_the_end(fp32: Generator) -> None:
    text = fp32.generate(PROMPT, TWENTY).text
    assert text is not None
    config = dataclasses.replace(TWENTY, stop_strings=(text[-3:] + "…",))
    result = fp32.generate(PROMPT, config)
    assert (result.text, result.finish_reason) == (text, "length")


@pytest.mark.parametrize("calls", [0, 1, 5])
def test_cancelled(fp32: Generator, greedy: tuple[int, ...], calls: int) -> None:
    result = fp32.generate(PROMPT, TWENTY, after(calls))
    assert (result.ids, result.finish_reason) == (greedy[:calls], "cancelled")
    assert fp32.tokenizer is not None
    assert result.text == fp32.tokenizer.decode(greedy[:calls])


def test_cancelled_within_a_long_prompt(fp32: Generator, ids: list[int]) -> None:
    result = fp32.generate((ids * 13)[:512], TWENTY, after(1))  # prefill takes two chunks
    assert (result.ids, result.text, result.finish_reason) == ((), "", "cancelled")


def test_should_stop_is_asked_once_for_each_token(fp32: Generator) -> None:
    asked = []
    fp32.generate(PROMPT, TWENTY, lambda: bool(asked.append(1)))  # type: ignore[func-returns-value]
    assert len(asked) == 20


@pytest.mark.parametrize("tokens", [0, 1, 7])
def test_ctrl_c_is_the_caller_s(
    fp32: Generator, greedy: tuple[int, ...], tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = GraphRun.one
    steps = iter(range(tokens))

    def interrupted(self: GraphRun, *arguments: Any) -> Any:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return run(self, *arguments)

    stream = fp32.stream(PROMPT, TWENTY)
    with monkeypatch.context() as patch:
        patch.setattr(GraphRun, "one", interrupted)
        with raises_interrupt():
            list(stream)
        with raises_interrupt():
            fp32.generate(PROMPT, TWENTY)
        with raises_interrupt():
            list(fp32.tokens(PROMPT, TWENTY))
    # What there was is not lost, and the model is as it was.
    assert (stream.result.ids, stream.result.finish_reason) == (greedy[:tokens], "cancelled")
    assert next(stream, "ended") == "ended"
    assert fp32.generate(PROMPT, TWENTY).ids == greedy


def test_ctrl_c_while_a_token_is_chosen_is_the_caller_s(
    fp32: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(logits: np.ndarray, number: int) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("gpt2_edge.requests.make_chooser", lambda *_: choose)
    with raises_interrupt():
        fp32.generate(PROMPT, TWENTY)


@contextmanager
def raises_interrupt() -> Iterator[None]:
    """KeyboardInterrupt comes out of the block (and does not end all tests if it does not)."""
    try:
        yield
    except KeyboardInterrupt:
        return
    pytest.fail("the interrupt was swallowed")


@pytest.mark.parametrize("error", [RuntimeError, ZeroDivisionError, StopAsyncIteration, OSError])
def test_an_exception_of_should_stop_is_the_caller_s(
    fp32: Generator, error: type[Exception]
) -> None:
    def fail() -> bool:
        raise error("mine")

    with pytest.raises(error, match="mine"):
        fp32.generate(PROMPT, TWENTY, fail)


@pytest.mark.parametrize("prompt", [[5], [5] * 20])
def test_a_should_stop_that_raises_stop_iteration_is_told(
    fp32: Generator, prompt: list[int]
) -> None:
    answers = iter([False])
    with pytest.raises(GenerationError) as raised:
        fp32.generate(prompt, TWENTY, lambda: next(answers))
    assert_one_line(raised.value, "should_stop raised StopIteration")


@pytest.mark.parametrize("wrong", [True, "stop", 5])
def test_a_should_stop_that_is_no_function_is_told(fp32: Generator, wrong: Any) -> None:
    with pytest.raises(GenerationError) as raised:
        fp32.stream(PROMPT, TWENTY, wrong)
    assert_one_line(raised.value, f"should_stop is {wrong!r}")
