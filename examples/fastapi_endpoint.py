"""An endpoint of one's own that streams text (pip install '.[examples]'):

    python examples/fastapi_endpoint.py PACKAGE
    curl -N localhost:8000/write --json '{"prompt": "It was late"}'

`astream` runs the model in threads, so the event loop goes on meanwhile, and a client that leaves
ends its text. Each text has steps of its own; `gpt2-edge serve` takes those of all clients
together, and bounds how many there may be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from gpt2_edge import Generator, GPT2EdgeError


class Wanted(BaseModel):
    """The body of a request; what is out of its range is answered with 422."""

    prompt: str = Field(min_length=1, max_length=10_000)
    max_new_tokens: int = Field(default=60, ge=1, le=500)
    temperature: float = Field(default=0.8, ge=0, le=5)
    seed: int | None = Field(default=None, ge=0, lt=2**63)


def create_app(generator: Generator) -> FastAPI:
    """The application: POST /write answers with text, piece by piece."""
    app = FastAPI(title=generator.name)

    @app.post("/write")
    async def write(wanted: Wanted) -> StreamingResponse:
        pieces = generator.astream(
            wanted.prompt,
            max_new_tokens=wanted.max_new_tokens,
            temperature=wanted.temperature,
            seed=wanted.seed,
        )
        try:  # a prompt that does not fit is told before the status is sent
            first = await anext(pieces, "")
        except GPT2EdgeError as error:
            raise HTTPException(400, str(error)) from error
        return StreamingResponse(behind(first, pieces), media_type="text/plain; charset=utf-8")

    return app


async def behind(first: str, pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """`first`, then the rest of `pieces`; closes them when the client has gone."""
    # It is an asynchronous generator, whatever its type says.
    async with aclosing(pieces):  # type: ignore[type-var]
        yield first
        async for piece in pieces:
            yield piece


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve POST /write on this machine.")
    parser.add_argument("package")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    uvicorn.run(create_app(Generator.load(arguments.package)), port=arguments.port)


if __name__ == "__main__":
    try:
        main()
    except GPT2EdgeError as error:
        sys.exit(str(error))
