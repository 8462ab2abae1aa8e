"""POST /v1/completions, as OpenAI documents it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gpt2_edge.config import GenerationConfig
from gpt2_edge_server.bodies import CompletionBody
from gpt2_edge_server.errors import refused
from gpt2_edge_server.exchange import Exchange
from gpt2_edge_server.logprobs import LegacyLogprobs
from gpt2_edge_server.pool import Gone
from gpt2_edge_server.prompts import Encoded, begun, encoded
from gpt2_edge_server.scoring import Predicted, predicted
from gpt2_edge_server.service import Service
from gpt2_edge_server.settings import config_of
from gpt2_edge_server.texts import Texts, Written, as_texts, checked_prompts, writing

_DEFAULT_TOKENS = 16  # OpenAI's
_DECODER = msgspec.json.Decoder(CompletionBody)


@dataclass(frozen=True)
class Plan:
    """What a checked body asks for. count: texts for each prompt (best_of); n: that come back."""

    body: CompletionBody
    config: GenerationConfig
    max_tokens: int
    count: int
    n: int
    prompts: list[str | list[int]]


def planned(body: CompletionBody) -> Plan:
    """`body`, checked as far as it can be without the model; ApiError."""
    if body.suffix:
        raise refused("suffix is not supported: GPT-2 writes on, it fills no gaps", "suffix")
    n = body.n or 1
    count = body.best_of or n
    if count < n:
        raise refused(f"best_of is {count}; it must be n, {n}, at least", "best_of")
    if body.stream and count > n:
        raise refused("best_of chooses at the end; leave out stream, or best_of", "best_of")
    if body.stream_options is not None and not body.stream:
        raise refused("stream_options go with stream", "stream_options")
    max_tokens = _DEFAULT_TOKENS if body.max_tokens is None else body.max_tokens
    logprobs = 0 if body.logprobs is None and count > n else body.logprobs
    prompts: list[Any] = as_texts("" if body.prompt is None else body.prompt)
    if not prompts or not all(isinstance(prompt, (str, list)) for prompt in prompts):
        raise refused("prompt is a text, a list of token ids, or a list of either", "prompt")
    return Plan(body, config_of(body, max_tokens, logprobs), max_tokens, count, n, prompts)


class Completions:
    """The handler."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, exchange: Exchange) -> None:
        service = self._service
        body = exchange.body(_DECODER)
        service.check_model(body.model)
        plan = planned(body)
        texts = len(plan.prompts) * plan.count
        with service.engine.reserved(texts):
            prompts = await service.prepare.run(lambda gone: self._encode(plan))
            ids = checked_prompts(service, [prompt.ids for prompt in prompts], plan.config)
            scores = await self._scores(plan, ids)
            wanted = ids if plan.max_tokens else []
            async with writing(service, wanted, plan.config, plan.count) as written:
                answer = Answer(service, plan, ids, scores)
                if body.stream:
                    await exchange.events(answer.stream(written))
                else:
                    await written.finish()
                    await exchange.json(answer.whole(written))

    def _encode(self, plan: Plan) -> list[Encoded]:
        model, special = self._service.generator, plan.body.parse_special
        return [begun(model, encoded(model, prompt, special)) for prompt in plan.prompts]

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

    def __init__(
        self,
        service: Service,
        plan: Plan,
        prompts: Sequence[list[int]],
        scores: list[list[Predicted]] | None,
    ) -> None:
        self._service, self._plan, self._prompts, self._scores = service, plan, prompts, scores
        self._head = {
            "id": service.new_id("cmpl"),
            "object": "text_completion",
            "created": service.created_now(),
            "model": service.name,
        }

    def whole(self, texts: Texts) -> dict[str, Any]:
        """All choices at once."""
        choices: list[dict[str, Any]] = []
        for number in range(len(self._prompts)):
            for written in self._best(texts, number):
                logprobs = self._begin(number)
                self._count(logprobs, written)
                text = self._echoed(number) + ("" if written is None else written.text)
                reason = "length" if written is None else written.finish_reason
                choices.append(self._choice(len(choices), text, logprobs, written, reason))
        return {**self._head, "choices": choices, "usage": self._usage(texts)}

    async def stream(self, texts: Texts) -> AsyncIterator[dict[str, Any]]:
        """Choices piece by piece."""
        options = self._plan.body.stream_options
        with_usage = options is not None and options.include_usage
        head = {**self._head, "usage": None} if with_usage else self._head
        counts = [self._begin(number // self._plan.n) for number in range(self._texts())]
        if self._plan.body.echo or not texts.written:
            for number in range(self._texts()):
                prompt = number // self._plan.n
                reason = None if texts.written else "length"
                choice = self._choice(
                    number, self._echoed(prompt), counts[number], None, reason,
                    self._prompts[prompt],
                )  # fmt: skip
                yield {**head, "choices": [choice]}
        async for number, new in texts.pieces():
            reason = texts.written[number].finish_reason if new is None else None
            self._count(counts[number], new)
            text = "" if new is None else new.text
            if text or reason or counts[number] is not None or self._plan.body.return_token_ids:
                choice = self._choice(number, text, counts[number], new, reason)
                yield {**head, "choices": [choice]}
        if with_usage:
            yield {**self._head, "choices": [], "usage": self._usage(texts)}

    def _texts(self) -> int:
        return len(self._prompts) * self._plan.n

    def _best(self, texts: Texts, prompt: int) -> Sequence[Written | None]:
        """The n texts of a prompt that come back; None for one that nothing was written of."""
        if not texts.written:
            return [None] * self._plan.n
        own = [written for written in texts.written if written.prompt == prompt]
        if len(own) > self._plan.n:
            own.sort(key=lambda written: -written.mean_logprob)
        return own[: self._plan.n]

    def _echoed(self, prompt: int) -> str:
        if not self._plan.body.echo:
            return ""
        given = self._plan.prompts[prompt]
        if isinstance(given, str):
            return given
        tokenizer = self._service.generator.tokenizer
        return "" if tokenizer is None else tokenizer.decode(given)

    def _begin(self, prompt: int) -> LegacyLogprobs | None:
        """What counts a choice's log-probabilities, behind those of its prompt."""
        most = self._plan.body.logprobs
        if most is None:
            return None
        counted, ids = LegacyLogprobs(self._service.generator, most), self._prompts[prompt]
        if self._scores is None:
            counted.skip(ids)
            return counted
        counted.add(ids[0], None, ())
        for token, score in zip(ids[1:], self._scores[prompt], strict=True):
            counted.add(token, score.logprob, score.alternatives)
        return counted

    @staticmethod
    def _count(counted: LegacyLogprobs | None, new: Written | None) -> None:
        if counted is None or new is None:
            return
        for number, token in enumerate(new.ids):
            tops = new.top_logprobs[number] if new.top_logprobs else ()
            counted.add(token, new.logprobs[number], tops)

    def _choice(
        self,
        number: int,
        text: str,
        logprobs: LegacyLogprobs | None,
        written: Written | None,
        reason: str | None,
        ids: Sequence[int] = (),
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": number,
            "text": text,
            "logprobs": None if logprobs is None else logprobs.take(),
            "finish_reason": reason,
        }
        if self._plan.body.return_token_ids:
            choice["token_ids"] = list(ids) if written is None else list(written.ids)
        return choice

    def _usage(self, texts: Texts) -> dict[str, Any]:
        read, written = sum(map(len, self._prompts)), texts.tokens
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": texts.cached_tokens},
        }
