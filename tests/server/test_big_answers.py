"""Answers with many log-probabilities: what they are made of, where, and how large they may be."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from gpt2_edge.generate import Generator
from server.served import Serve, Served
from server.test_slow_readers import until

PATH = "/v1/completions"
TEXT = "It was late in the evening, and"


class Counted:
    """Which threads showed tokens, and how often."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import gpt2_edge_server.logprobs as module

        self.shown: list[int] = []
        self.threads: set[str] = set()
        real = module.token_text

        def token_text(model: Any, token: int) -> str:
            self.shown.append(token)
            self.threads.add(threading.current_thread().name)
            return real(model, token)

        monkeypatch.setattr(module, "token_text", token_text)


@pytest.mark.parametrize("alternatives", [0, 3])
def test_a_prompt_is_told_once_and_beside_the_event_loop(
    server: Served, generator: Generator, monkeypatch: pytest.MonkeyPatch, alternatives: int
) -> None:
    body = {"prompt": TEXT, "n": 5, "max_tokens": 2, "echo": True, "logprobs": alternatives,
            "ignore_eos": True, "seed": 1}  # fmt: skip
    read, each = len(generator.encode(TEXT)), 1 + alternatives
    with monkeypatch.context() as patch:
        counted = Counted(patch)
        choices = server.done(PATH, **body)["choices"]
        # The first token has no alternatives.
        assert len(counted.shown) == read + alternatives * (read - 1) + 5 * 2 * each
        assert {name.rpartition("_")[0] for name in counted.threads} == {"gpt2-edge build"}
    assert [len(choice["logprobs"]["tokens"]) for choice in choices] == [read + 2] * 5
    with monkeypatch.context() as patch:
        counted = Counted(patch)
        lines = server.post(PATH, **body, stream=True).text.splitlines()
        assert len(counted.shown) == read + alternatives * (read - 1) + 5 * 2 * each
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    for number, choice in enumerate(choices):
        own = [event["choices"][0] for event in events if event["choices"][0]["index"] == number]
        for name, values in choice["logprobs"].items():
            if alternatives or name != "top_logprobs":
                told = [value for piece in own for value in piece["logprobs"][name]]
                assert told == values
            else:
                assert values is None
                assert all(piece["logprobs"][name] is None for piece in own)


def test_nothing_is_no_broken_list(server: Served) -> None:
    for more in ({}, {"echo": True}):
        answer = server.done(PATH, prompt=[5], max_tokens=0, logprobs=2, n=2, **more)
        for choice in answer["choices"]:
            shown = [" and"] if "echo" in more else []
            assert len(choice["logprobs"]["tokens"]) == len(shown)
            assert choice["logprobs"]["token_logprobs"] == [None] * len(shown)
            assert choice["logprobs"]["top_logprobs"] == [None] * len(shown)
            assert choice["logprobs"]["text_offset"] == [0] * len(shown)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 26, "logprobs": 20}, "logprobs"),
        ({"n": 2, "best_of": 26, "logprobs": 20}, "logprobs"),
        ({"prompt": [TEXT] * 26, "logprobs": 20}, "logprobs"),
        ({"n": 8, "logprobs": 1, "max_tokens": 65536, "context_overflow": "slide"}, "logprobs"),
        ({"n": 60, "max_tokens": 65536, "context_overflow": "slide"}, "max_tokens"),
        ({"n": 60, "echo": True, "prompt": "-" * 500_000, "context_overflow": "slide",
          "max_tokens": 1}, "max_tokens"),
    ],
    ids=["n", "best_of", "prompts", "slide", "tokens", "echo"],
)  # fmt: skip
def test_what_is_too_much_for_one_answer(server: Served, body: dict[str, Any], param: str) -> None:
    asked = {"prompt": TEXT, "max_tokens": 1000, **body}
    refusal = server.refused(400, PATH, **asked)
    assert refusal["param"] == param
    assert "is the most" in refusal["message"]
    assert server.service.held.taken == server.service.held.answers == 0
    assert server.service.engine.taken == 0


def test_too_many_at_a_time_are_told_to_come_again(serve: Serve) -> None:
    with serve(max_rows=2) as server:
        held = server.service.held
        with held.bytes(40 * (held._most + 1024)):
            refusal = server.refused(429, PATH, prompt=TEXT, logprobs=20, max_tokens=99)
            assert "large answers" in refusal["message"]
            server.refused(429, "/score", prompt=TEXT)
            server.refused(429, "/attention", prompt=TEXT * 20)
            server.refused(429, "/tokenize", prompt=TEXT * 9000)
            # Small ones never are.
            assert server.post(PATH, prompt="A", max_tokens=2).status_code == 200
        server.done(PATH, prompt=TEXT, logprobs=20, max_tokens=99)
        until(lambda: held.taken == 0)  # which is after the answer's last byte


@pytest.mark.parametrize("keep", [0, 3])
@pytest.mark.parametrize("stream", [False, True])
def test_an_echo_of_more_than_fits_tells_all_that_was_sent(
    server: Served, generator: Generator, keep: int, stream: bool
) -> None:
    text = " and".join("abcdefgh") * 80
    assert generator.tokenizer is not None
    sent, context = generator.tokenizer.encode(text), generator.context_length
    missing = len(sent) - context
    assert missing > 0
    body = {"prompt": text, "max_tokens": 2, "logprobs": 1, "context_overflow": "slide",
            "keep": keep, "ignore_eos": True, "temperature": 0, "stream": stream}  # fmt: skip

    def told(**more: Any) -> tuple[str, dict[str, list[Any]]]:
        answer = server.post(PATH, **body, **more)
        assert answer.status_code == 200, answer.text
        if not stream:
            (choice,) = answer.json()["choices"]
            return choice["text"], choice["logprobs"]
        lines = [line for line in answer.text.splitlines() if line.startswith("data: {")]
        pieces = [json.loads(line[6:])["choices"][0] for line in lines]
        names = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
        joined = {name: [v for p in pieces for v in p["logprobs"][name]] for name in names}
        return "".join(piece["text"] for piece in pieces), joined

    whole, found = told(echo=True)
    assert whole.startswith(text)
    ends = [*found["text_offset"][1:], len(whole)]
    pieces = [whole[a:b] for a, b in zip(found["text_offset"], ends, strict=True)]
    assert pieces == found["tokens"]
    assert len(pieces) == len(sent) + 2
    # The model read the first `keep` and the last; what it did not read has no log-probability.
    nowhere = [number for number, p in enumerate(found["token_logprobs"]) if p is None]
    assert nowhere == ([0, *range(keep, keep + missing)] if keep else [*range(missing + 1)])
    assert [number for number, top in enumerate(found["top_logprobs"]) if top is None] == nowhere
    _, alone = told()
    for name, values in alone.items():
        assert values == found[name][len(sent) :]
