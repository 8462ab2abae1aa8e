"""Many clients at once get the tokens that the library gives each of them alone."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from gpt2_edge.generate import Generator
from server.served import PATIENCE, Serve, Served

_REQUESTS, _CLIENTS = 200, 16
_BEGINNINGS = (
    "The old man",
    "The old man turned to",
    "It was a dark and",
    "\u201cNo,\u201d said",
    "A",
)
_SETTINGS: tuple[Mapping[str, Any], ...] = (
    {"temperature": 0},
    {"temperature": 1.0},
    {"temperature": 0.7, "top_k": 40},
    {"temperature": 1.2, "top_p": 0.9},
    {"temperature": 0.9, "min_p": 0.05, "repetition_penalty": 1.2},
    {"temperature": 0.8, "presence_penalty": 0.6, "frequency_penalty": 0.4},
    {"temperature": 0, "no_repeat_ngram_size": 2},
    {"temperature": 0, "prompt_lookup_num_tokens": 4},
    {"temperature": 1.0, "n": 3},
    {"temperature": 1.0, "logit_bias": {"12": -100, "14": 3}},
)


def _asked(number: int, rng: random.Random) -> dict[str, Any]:
    body: dict[str, Any] = {
        "prompt": rng.choice(_BEGINNINGS) + " and" * rng.choice((0, 0, 1, 40)),
        "max_tokens": rng.choice((1, 5, 20, 45)),
        "return_token_ids": True,
        **_SETTINGS[number % len(_SETTINGS)],
    }
    if body["temperature"]:
        body["seed"] = rng.randrange(1 << 40)
    if rng.random() < 0.2:
        body["stop"] = [rng.choice((" the", ".", ","))]
    if rng.random() < 0.5:
        body["stream"] = True
    return body


def _alone(generator: Generator, body: dict[str, Any]) -> list[list[int]]:
    """What the library writes."""
    renamed = {"max_tokens": "max_new_tokens", "n": "num_return_sequences", "stop": "stop_strings"}
    left_out = ("prompt", "return_token_ids", "stream")
    settings = {renamed.get(k, k): v for k, v in body.items() if k not in left_out}
    settings = {"top_k": 0, "top_p": 1.0, **settings}
    biases = settings.pop("logit_bias", None)
    if biases:
        settings["logit_bias"] = {int(token): bias for token, bias in biases.items()}
    result = generator.generate(body["prompt"], **settings)
    return [list(text.ids) for text in result.sequences or (result,)]


def _served(client: httpx.Client, body: dict[str, Any]) -> list[list[int]]:
    """What the server writes."""
    found: list[list[int]] = [[] for _ in range(body.get("n", 1))]
    if not body.get("stream"):
        answer = client.post("/v1/completions", json=body)
        assert answer.status_code == 200, answer.text
        chunks = [answer.json()]
    else:
        with client.stream("POST", "/v1/completions", json=body) as lines:
            assert lines.status_code == 200
            told = [line.removeprefix("data: ") for line in lines.iter_lines() if line]
        assert told.pop() == "[DONE]"
        chunks = [json.loads(line) for line in told]
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        found[choice["index"]] += choice["token_ids"]
    return found


def test_two_hundred_requests_of_sixteen_clients(serve: Serve, generator: Generator) -> None:
    rng = random.Random(13)
    bodies = [_asked(number, rng) for number in range(_REQUESTS)]
    expected = [_alone(generator, body) for body in bodies]
    with serve(max_rows=8, max_queue=64) as server:
        found = _by_many(server, bodies)
        assert found == expected
        assert server.service.engine.taken == 0
        metrics = server.client.get("/metrics").text
        written = sum(len(ids) for texts in expected for ids in texts)
        assert f'gpt2_edge_tokens_total{{kind="written"}} {float(written)}' in metrics


def _by_many(server: Served, bodies: list[dict[str, Any]]) -> list[list[list[int]]]:
    with (
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
        ThreadPoolExecutor(_CLIENTS) as clients,
    ):
        return list(clients.map(lambda body: _served(client, body), bodies))
