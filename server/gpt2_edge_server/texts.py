"""The texts of a completion: prompts become requests, what these tell becomes text and tokens."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gpt2_edge.calls import make_job
from gpt2_edge.config import GenerationConfig
from gpt2_edge.decode.request import SingleText
from gpt2_edge.decode.window import fitted
from gpt2_edge_server.engine import Call, Places
from gpt2_edge_server.errors import about_field
from gpt2_edge_server.pool import GaveUp
from gpt2_edge_server.service import Service

# Events that a reader leaves unread before its text is ended: no text is this far ahead of a
# reader that takes anything.
_MOST_UNREAD = 4096
_MOST_AT_ONCE = 64  # events in one of the stream: what is made of them holds up the event loop

Alternatives = tuple[tuple[int, float], ...]


@dataclass
class Written:
    """One text: what has been read of it so far. prompt: the number of its prompt."""

    prompt: int
    request: SingleText
    text: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top_logprobs: list[Alternatives] = field(default_factory=list)
    told: bool = False  # that it is over

    def take(self, most: int | None = None) -> Written | None:
        """What is new since the last call, of `most` events; None where nothing is."""
        new = Written(self.prompt, self.request)
        told = self.request.events
        for _ in range(len(told) if most is None else min(most, len(told))):
            event = told.popleft()
            new.text += event.text
            new.ids += event.ids
            new.logprobs += event.logprobs
            new.top_logprobs += event.top_logprobs
        self.text += new.text
        self.ids += new.ids
        self.logprobs += new.logprobs
        self.top_logprobs += new.top_logprobs
        return new if new.text or new.ids else None

    @property
    def finish_reason(self) -> str | None:
        """OpenAI's word for why it ended; None while it is written."""
        reason = self.request.finish_reason
        if reason is None:
            return None
        return "stop" if reason in ("eos", "stop") else "length"

    @property
    def mean_logprob(self) -> float:
        """How good it is, as OpenAI's best_of has it."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else 0.0


class Texts:
    """Texts that are written now, in the order of their prompts."""

    def __init__(self, call: Call, written: Sequence[Written]) -> None:
        self.written = list(written)
        self._call = call

    async def finished(self) -> None:
        """Wait for the end of all; then `read` has them."""
        await self._call.finished()

    def read(self) -> list[Written]:
        """All texts, once they have ended; in any thread."""
        for written in self.written:
            written.take()
        return self.written

    async def pieces(self) -> AsyncIterator[tuple[int, Written | None]]:
        """What is added to text number n, as it comes; (n, None) where it has ended."""
        while not all(written.told for written in self.written):
            self._call.changed.clear()
            self._call.raise_error()
            quiet = True
            for number, written in enumerate(self.written):
                if written.told:
                    continue
                over = written.request.over  # before its events: then all of them are seen
                if len(written.request.events) > _MOST_UNREAD:
                    self._call.end()
                new = written.take(_MOST_AT_ONCE)
                if new is not None:
                    quiet = False
                    yield number, new
                if written.request.events:
                    quiet = False
                elif over:
                    quiet, written.told = False, True
                    yield number, None
            if quiet:
                await self._call.changed.wait()

    @property
    def cached_tokens(self) -> int:
        """How much of the prompts was in the cache already."""
        first = {written.prompt: written.request for written in reversed(self.written)}
        return sum(request.cached_tokens for request in first.values())

    @property
    def tokens(self) -> int:
        """How many tokens were written in all."""
        return sum(len(written.request.new_ids) for written in self.written)


@asynccontextmanager
async def writing(
    service: Service,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    count: int,
    streams: bool,
    places: Places,
) -> AsyncIterator[Texts]:
    """`count` texts for each of `prompts` (token ids), in the block; what is left then is ended.

    streams: they are read by `pieces`, not by `read`. places: that the caller has reserved for
    them; each goes back when its text is over.

    Raises ApiError and GenerationError for settings that this model cannot meet.
    """
    timed = dataclasses.replace(
        config, max_time=service.options.timeout, num_return_sequences=count
    )

    # What the model itself may refuse: tokens that it has not, and grammars.
    suspects = ("regex", "json_schema", "choices", "logit_bias")

    def requests(gone: Callable[[], bool]) -> list[Written]:
        found: list[Written] = []
        with about_field(next((name for name in suspects if getattr(config, name)), None)):
            for number, ids in enumerate(prompts):
                if gone():
                    raise GaveUp
                found += (
                    Written(number, request)
                    for request, _ in make_job(service.generator, ids, timed, None, {}).requests()
                    if isinstance(request, SingleText)
                )
        return found

    written = await service.prepare.run(requests)
    call = service.engine.submit([each.request for each in written], streams, places)
    try:
        yield Texts(call, written)
    finally:
        call.end()


def checked_prompts(
    service: Service, prompts: Sequence[list[int]], config: GenerationConfig
) -> list[list[int]]:
    """`prompts` as the context takes them; ContextOverflowError where one is too long."""
    model = service.generator
    found = []
    for ids in prompts:
        if config.context_overflow == "slide":
            ids = fitted(ids, model.context_length, config.keep)
        model.check_fits(ids)
        found.append(ids)
    return found


def as_texts(value: Any) -> list[Any]:
    """OpenAI's `prompt`, which is a text, token ids or a list of either, as a list of prompts."""
    if not isinstance(value, list):
        return [value]
    return [value] if value and all(type(item) is int for item in value) else value


async def cancelled_quietly(task: asyncio.Task[Any]) -> None:
    """End `task`, whatever becomes of it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
