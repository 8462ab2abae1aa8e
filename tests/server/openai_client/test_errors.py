"""Errors as the `openai` package raises them: wrong values, keys, a full queue."""

from __future__ import annotations

import contextlib
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import openai
import pytest

from server.openai_client.calls import PROMPT, client_of
from server.process import WAIT, served

KEY = "secret-of-the-tests"


def _quietly(client: Any, asked: dict[str, Any]) -> None:
    """A request that the server's end cuts short."""
    with contextlib.suppress(openai.OpenAIError):
        client.completions.create(**asked)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"suffix": " the end"}, "suffix"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1_000_000}, "n"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": 1_000}, "logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"99999999": 1}}, "logit_bias"),
        ({"prompt": [[1], ["x"]]}, "prompt"),
        ({"prompt": [99_999_999]}, "prompt"),
        ({"stop": [["x"]]}, "stop"),
        ({"extra_body": {"top_k": -4}}, "top_k"),
        ({"extra_body": {"regex": "("}}, "regex"),
    ],
    ids=str,
)
def test_a_wrong_value_is_told_by_name(
    client: Any, model: str, asked: dict[str, Any], param: str
) -> None:
    if param == "regex":
        pytest.importorskip("llguidance")
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=model, **({"prompt": PROMPT} | asked))
    error = caught.value
    assert error.status_code == 400
    assert error.type == "invalid_request_error"
    # As at OpenAI it may say which item: stop[0].
    assert str(error.param).partition("[")[0] == param
    assert isinstance(error.body, dict)
    message = error.body["message"]
    assert message.isprintable()
    assert "Traceback" not in message


def test_a_prompt_that_is_too_long(client: Any, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=model, prompt="word " * 600)
    assert caught.value.code == "context_length_exceeded"


def test_keys(sample_fp32: Path, model: str) -> None:
    with served(sample_fp32, "--api-key", KEY) as server:
        for key in ("wrong", KEY + "x", KEY[:-1]):
            with (
                client_of(server, key) as client,
                pytest.raises(openai.AuthenticationError) as caught,
            ):
                client.completions.create(model=model, prompt=PROMPT)
            assert caught.value.code == "invalid_api_key"
            assert KEY not in str(caught.value)
        with client_of(server, KEY) as client:
            assert client.models.list().data[0].id == model
            assert client.completions.create(model=model, prompt=PROMPT).choices
        assert KEY not in "".join(server.lines)


def test_a_full_queue(sample_fp32: Path, model: str) -> None:
    endless = {"ignore_eos": True, "context_overflow": "slide"}
    asked = {"model": model, "prompt": PROMPT, "max_tokens": 16_000, "extra_body": endless}
    with (
        served(sample_fp32, "--max-rows", 2, "--max-queue", 1, "--grace", 0) as server,
        client_of(server) as client,
        ExitStack() as stack,
    ):
        for _ in range(2):
            stack.enter_context(client.completions.create(stream=True, **asked))
        # Nothing comes of the third until one of them ends, so it is asked for beside them.
        third = threading.Thread(target=lambda: _quietly(client, asked))
        third.start()
        end = time.monotonic() + WAIT
        while server.metrics()["gpt2_edge_waiting"] < 1:
            assert time.monotonic() < end
            time.sleep(0.02)
        with pytest.raises(openai.RateLimitError) as caught:
            client.completions.create(**asked)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert caught.value.type == "rate_limit_error"
        stack.close()
        while server.metrics()["gpt2_edge_running"] > 1:  # the streams' rows become free
            assert time.monotonic() < end
            time.sleep(0.02)
        answer = None
        while answer is None:
            assert time.monotonic() < end
            with suppress(openai.RateLimitError):
                answer = client.completions.create(model=model, prompt=PROMPT, temperature=0)
        assert answer.choices[0].text
    third.join(WAIT)
