"""examples/fastapi_endpoint.py, asked as a client asks it, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from examples.running import load
from gpt2_edge import Generator

for _module in ("fastapi", "httpx", "uvicorn"):
    pytest.importorskip(_module, reason="needs the extra [examples]")

BODY = {"prompt": "It was late", "max_new_tokens": 20, "seed": 3}


def ask(generator: Generator, *bodies: dict[str, Any]) -> list[Any]:
    """The answers to `bodies`, which are sent together."""
    import httpx

    app = load("fastapi_endpoint.py").create_app(generator)

    async def all_of_them() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await asyncio.gather(*(client.post("/write", json=body) for body in bodies))

    return asyncio.run(all_of_them())


def test_clients_get_their_own_texts(generator: Generator) -> None:
    bodies = [BODY, BODY | {"seed": 4}, BODY | {"prompt": "The sea"}]
    for answer, body in zip(ask(generator, *bodies), bodies, strict=True):
        assert answer.status_code == 200
        settings = {name: value for name, value in body.items() if name != "prompt"}
        expected = generator.generate(body["prompt"], temperature=0.8, **settings)
        assert answer.text == str(expected)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_what_cannot_be_taken_is_told(generator: Generator) -> None:
    bodies = [{"prompt": "word " * 1000}, {"prompt": ""}, BODY | {"temperature": -1}, {}]
    long, *others = ask(generator, *bodies)
    assert long.status_code == 400
    assert "the model's context holds 512" in long.json()["detail"]
    assert [answer.status_code for answer in others] == [422, 422, 422]


def test_a_client_that_leaves_ends_its_text(generator: Generator) -> None:
    closed = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "word "
        finally:
            closed.append(True)

    async def leave() -> None:
        pieces = load("fastapi_endpoint.py").behind("first ", endless())
        assert [await anext(pieces), await anext(pieces)] == ["first ", "word "]
        await pieces.aclose()

    asyncio.run(leave())
    assert closed == [True]
