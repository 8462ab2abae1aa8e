"""POST /v1/completions, as OpenAI documents it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from gpt2_edge_server.bodies import CompletionBody
from gpt2_edge_server.exchange import Exchange
from gpt2_edge_server.logprobs import LegacyLogprobs, joined
from gpt2_edge_server.plan import Begun, Plan, Prompts, planned
from gpt2_edge_server.pool import GaveUp, Gone, nobody_left
from gpt2_edge_server.prompts import begun, encoded
from gpt2_edge_server.scoring import Predicted, predicted
from gpt2_edge_server.service import Service
from gpt2_edge_server.texts import Texts, Written, writing

_DECODER = msgspec.json.Decoder(CompletionBody)


class Completions:
    """The handler."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, exchange: Exchange) -> None:
        service = self._service
        body = exchange.body(_DECODER)
        service.check_model(body.model)
        plan = planned(body)
        with service.engine.reserved(len(plan.prompts) * plan.count) as places:
            sent = await service.prepare.run(lambda gone: self._encode(plan))
            prompts = Prompts(service, plan, sent)
            with service.held.texts(prompts.most_tokens(), plan.body.logprobs, exchange.size):
                prompts.scores = await self._scores(plan, prompts.read)
                wanted = prompts.read if plan.max_tokens else []
                streams = bool(plan.body.stream)
                async with writing(
                    service, wanted, plan.config, plan.count, streams, places
                ) as texts:
                    answer = Answer(service, plan, prompts)
                    if streams:
                        await exchange.events(answer.stream(texts))
                        return
                    await texts.finished()
                    await exchange.raw(await answer.built(texts), "application/json")

    def _encode(self, plan: Plan) -> list[list[int]]:
        model, special = self._service.generator, plan.body.parse_special
        return [begun(model, encoded(model, prompt, special)).ids for prompt in plan.prompts]

    async def _scores(
        self, plan: Plan, prompts: Sequence[list[int]]
    ) -> list[list[Predicted]] | None:
        """The log-probabilities of the prompts, where they are asked for."""
        if not plan.body.echo or plan.body.logprobs is None:
            return None
        most = plan.body.logprobs
        return [await self._service.measure.run(self._score(ids, most)) for ids in prompts]

    def _score(self, ids: list[int], most: int) -> Callable[[Gone], list[Predicted]]:
        return lambda gone: predicted(self._service.generator, ids, most, gone)


class Answer:
    """The body, or the events, of an answer."""

    def __init__(self, service: Service, plan: Plan, prompts: Prompts) -> None:
        self._service, self._plan, self._prompts = service, plan, prompts
        self._head = {
            "id": service.new_id("cmpl"),
            "object": "text_completion",
            "created": service.created_now(),
            "model": service.name,
        }

    async def built(self, texts: Texts) -> bytes:
        """See `whole`: what is large, beside the event loop."""
        if self._prompts.light:
            return self.whole(texts, nobody_left)
        return await self._service.build.run(lambda gone: self.whole(texts, gone))

    def whole(self, texts: Texts, gone: Gone) -> bytes:
        """All choices at once, as JSON."""
        own: list[list[Written]] = [[] for _ in self._prompts.read]
        for written in texts.read():
            own[written.prompt].append(written)
        choices: list[dict[str, Any]] = []
        for number, each in enumerate(self._prompts.shown(gone)):
            for best in self._best(own[number]):
                if gone():
                    raise GaveUp
                logprobs = self._logprobs(self._counted(each), best, each)
                text = each.text + ("" if best is None else best.text)
                reason = "length" if best is None else best.finish_reason
                choices.append(self._choice(len(choices), text, logprobs, reason, best))
        return msgspec.json.encode({**self._head, "choices": choices, "usage": self._usage(texts)})

    async def stream(self, texts: Texts) -> AsyncIterator[dict[str, Any]]:
        """Choices piece by piece."""
        options, plan = self._plan.body.stream_options, self._plan
        with_usage = options is not None and options.include_usage
        head = {**self._head, "usage": None} if with_usage else self._head
        light, show = self._prompts.light, self._prompts.shown
        shown = show(nobody_left) if light else await self._service.build.run(show)
        first = [each for each in shown for _ in range(plan.n)]
        counts = [self._counted(each) for each in first]
        if plan.body.echo or not texts.written:
            reason = None if texts.written else "length"
            for number, each in enumerate(first):
                logprobs = self._logprobs(counts[number], None, each)
                choice = self._choice(number, each.text, logprobs, reason)
                if plan.body.return_token_ids:
                    choice["token_ids"] = self._prompts.sent[number // plan.n]
                yield {**head, "choices": [choice]}
        async for number, new in texts.pieces():
            reason = texts.written[number].finish_reason if new is None else None
            counted, text = counts[number], "" if new is None else new.text
            if text or reason or counted is not None or plan.body.return_token_ids:
                logprobs = self._logprobs(counted, new)
                yield {**head, "choices": [self._choice(number, text, logprobs, reason, new)]}
        if with_usage:
            yield {**self._head, "choices": [], "usage": self._usage(texts)}

    def _best(self, own: list[Written]) -> Sequence[Written | None]:
        """The n texts of a prompt that come back; None for one that nothing was written of."""
        if not own:
            return [None] * self._plan.n
        if len(own) > self._plan.n:
            own.sort(key=lambda written: -written.mean_logprob)
        return own[: self._plan.n]

    def _counted(self, prompt: Begun) -> LegacyLogprobs | None:
        """What counts the log-probabilities of a text behind its prompt."""
        most = self._plan.body.logprobs
        if most is None:
            return None
        return LegacyLogprobs(self._service.generator, most, prompt.end.copy())

    @staticmethod
    def _logprobs(
        counted: LegacyLogprobs | None, new: Written | None, prompt: Begun | None = None
    ) -> msgspec.Raw | None:
        """Those of what is new, behind those of the prompt where it is echoed."""
        if counted is None:
            return None
        if new is not None:
            for number, token in enumerate(new.ids):
                tops = new.top_logprobs[number] if new.top_logprobs else ()
                counted.add(token, new.logprobs[number], tops)
        parts = [prompt.logprobs] if prompt is not None and prompt.logprobs is not None else []
        return joined(*parts, counted.take())

    def _choice(
        self,
        number: int,
        text: str,
        logprobs: msgspec.Raw | None,
        reason: str | None,
        written: Written | None = None,
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": number,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": reason,
        }
        if self._plan.body.return_token_ids:
            choice["token_ids"] = [] if written is None else list(written.ids)
        return choice

    def _usage(self, texts: Texts) -> dict[str, Any]:
        read, written = sum(map(len, self._prompts.read)), texts.tokens
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": texts.cached_tokens},
        }
