"""POST /v1/chat/completions, for packages with a chat template or DialoGPT's turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gpt2_edge.config import GenerationConfig
from gpt2_edge.errors import MissingDependencyError, PackageError
from gpt2_edge.text.chat import turns_of
from gpt2_edge.text.turns import Turn
from gpt2_edge_server.bodies import ChatBody, Message
from gpt2_edge_server.errors import about_field, refused
from gpt2_edge_server.exchange import Exchange
from gpt2_edge_server.logprobs import chat_logprobs
from gpt2_edge_server.pool import LIGHT_TOKENS
from gpt2_edge_server.service import Service
from gpt2_edge_server.settings import config_of
from gpt2_edge_server.texts import Texts, Written, checked_prompts, writing

_DECODER = msgspec.json.Decoder(ChatBody)


@dataclass(frozen=True)
class Talk:
    """Messages as turns: a system message, what was said and answered, and what is to answer."""

    system: str | None
    turns: list[tuple[str, str]]
    message: str


class Chat:
    """The handler."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, exchange: Exchange) -> None:
        service = self._service
        body = exchange.body(_DECODER)
        service.check_model(body.model)
        if service.chat_kind is None:
            raise refused(service.no_chat, code="no_chat")
        if body.stream_options is not None and not body.stream:
            raise refused("stream_options go with stream", "stream_options")
        talk, special = talk_of(body.messages), body.parse_special
        n = body.n or 1
        with service.engine.reserved(n) as places:
            ids, ends = await service.prepare.run(lambda gone: self._prompt(talk, special))
            config = self._config(body, ids, ends)
            (ids,) = checked_prompts(service, [ids], config)
            room = config.max_new_tokens or 0
            if config.context_overflow != "slide":
                room = min(room, service.generator.context_length - len(ids) + 1)
            logprobs = (body.top_logprobs or 0) if body.logprobs else None
            with service.held.texts(n * room, logprobs, exchange.size):
                async with writing(service, [ids], config, n, bool(body.stream), places) as texts:
                    answer = Answer(service, body, ids)
                    if body.stream:
                        await exchange.events(answer.stream(texts))
                        return
                    await texts.finished()
                    if logprobs is None and n * room <= LIGHT_TOKENS:
                        content = answer.whole(texts)
                    else:
                        content = await service.build.run(lambda gone: answer.whole(texts))
                    await exchange.raw(content, "application/json")

    def _prompt(self, talk: Talk, special: bool) -> tuple[list[int], tuple[int, ...]]:
        """The prompt's tokens, and those that end an answer beside the package's.

        special: special tokens that are written out in messages count as such.
        """
        model = self._service.generator
        assert model.tokenizer is not None  # or there is no chat
        try:
            with about_field("messages"):
                kind = self._service.chat_kind
                turns = turns_of(model.package, model.tokenizer, kind, talk.system, special)
                encode = model.tokenizer.encode
                before = [
                    Turn(
                        said,
                        tuple(encode(answer, add_special_tokens=False, parse_special=special)),
                        answer,
                    )
                    for said, answer in talk.turns
                ]
                return turns.tokens(before, talk.message), turns.end_ids
        except MissingDependencyError:
            raise
        except PackageError as error:  # a template that does not take these messages
            reason = str(error).partition("its chat template")[2]
            raise refused(
                f"the chat template does not take these messages{reason.partition(';')[0]}",
                "messages",
            ) from error

    def _config(
        self, body: ChatBody, ids: Sequence[int], ends: tuple[int, ...]
    ) -> GenerationConfig:
        model = self._service.generator
        asked = body.max_completion_tokens
        asked = body.max_tokens if asked is None else asked
        room = max(1, model.context_length - len(ids))
        if asked is not None and asked < 1:
            raise refused("max_tokens must be at least 1", "max_tokens")
        if body.top_logprobs and not body.logprobs:
            raise refused("top_logprobs go with logprobs: true", "top_logprobs")
        logprobs = (body.top_logprobs or 0) if body.logprobs else None
        config = config_of(body, room if asked is None else asked, logprobs)
        more: dict[str, Any] = {"eos_token_id": list(dict.fromkeys((*model.eos_token_ids, *ends)))}
        more |= _format(body)
        return config.updated(more)


class Answer:
    """The body, or the events, of an answer."""

    def __init__(self, service: Service, body: ChatBody, prompt: Sequence[int]) -> None:
        self._service, self._body, self._prompt = service, body, prompt
        self._head = {
            "id": service.new_id("chatcmpl"),
            "created": service.created_now(),
            "model": service.name,
        }

    def whole(self, texts: Texts) -> bytes:
        """All choices at once, as JSON."""
        choices = [
            {
                "index": number,
                "message": {"role": "assistant", "content": written.text, "refusal": None},
                "logprobs": self._logprobs(written, written.request.finish_reason == "eos"),
                "finish_reason": written.finish_reason,
                **self._ids(written),
            }
            for number, written in enumerate(texts.read())
        ]
        head = {**self._head, "object": "chat.completion"}
        return msgspec.json.encode({**head, "choices": choices, "usage": self._usage(texts)})

    async def stream(self, texts: Texts) -> AsyncIterator[dict[str, Any]]:
        """Choices piece by piece."""
        options = self._body.stream_options
        with_usage = options is not None and options.include_usage
        plain = {**self._head, "object": "chat.completion.chunk"}
        head = {**plain, "usage": None} if with_usage else plain
        for number in range(len(texts.written)):
            yield {**head, "choices": [_delta(number, {"role": "assistant", "content": ""})]}
        async for number, new in texts.pieces():
            request = texts.written[number].request
            if new is None:
                reason = texts.written[number].finish_reason
                yield {**head, "choices": [_delta(number, {}, reason)]}
                continue
            last = request.finish_reason == "eos" and len(texts.written[number].ids) == len(
                request.new_ids
            )
            choice = _delta(number, {"content": new.text})
            choice["logprobs"] = self._logprobs(new, last)
            if new.text or choice["logprobs"] or self._body.return_token_ids:
                yield {**head, "choices": [{**choice, **self._ids(new)}]}
        if with_usage:
            yield {**plain, "choices": [], "usage": self._usage(texts)}

    def _logprobs(self, written: Written, ended: bool) -> dict[str, Any] | None:
        """Of the tokens of the content; the one that ends a text is none of them."""
        if not self._body.logprobs:
            return None
        count = len(written.ids) - ended
        return chat_logprobs(
            self._service.generator,
            written.ids[:count],
            written.logprobs[:count],
            written.top_logprobs[:count],
        )

    def _ids(self, written: Written) -> dict[str, Any]:
        return {"token_ids": list(written.ids)} if self._body.return_token_ids else {}

    def _usage(self, texts: Texts) -> dict[str, Any]:
        return {
            "prompt_tokens": len(self._prompt),
            "completion_tokens": texts.tokens,
            "total_tokens": len(self._prompt) + texts.tokens,
            "prompt_tokens_details": {"cached_tokens": texts.cached_tokens},
        }


def talk_of(messages: Sequence[Message]) -> Talk:
    """`messages` as turns; ApiError for an order that no template of ours takes."""
    texts = [(message.role, _content(message)) for message in messages]
    system = None
    if texts and texts[0][0] in ("system", "developer"):
        system, texts = texts[0][1], texts[1:]
    roles = [role for role, _ in texts]
    expected = ["user" if number % 2 == 0 else "assistant" for number in range(len(texts))]
    if roles != expected or len(texts) % 2 == 0:
        raise refused(
            "messages are a system message or none, then user and assistant in turn, and at last "
            "one of the user",
            "messages",
        )
    said = [text for _, text in texts]
    return Talk(system, list(zip(said[0:-1:2], said[1::2], strict=True)), said[-1])


def _content(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = message.content or []
    if any(part.type != "text" or part.text is None for part in parts):
        raise refused("the content of a message is text", "messages")
    return "".join(part.text or "" for part in parts)


def _format(body: ChatBody) -> dict[str, Any]:
    """What response_format means to the grammar."""
    asked = body.response_format
    if asked is None or asked.type == "text":
        return {}
    if body.regex or body.json_schema or body.choices:
        raise refused("response_format does not go with another grammar", "response_format")
    if asked.type == "json_object":
        return {"json_schema": {"type": "object"}}
    schema = (asked.json_schema or {}).get("schema")
    if asked.type != "json_schema" or not isinstance(schema, dict) or not schema:
        raise refused(
            "response_format is text, json_object, or json_schema with a schema", "response_format"
        )
    return {"json_schema": schema}


def _delta(number: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": number, "delta": delta, "logprobs": None, "finish_reason": reason}
