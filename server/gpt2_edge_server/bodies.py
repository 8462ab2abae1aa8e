"""The bodies of requests: field by field what /openapi.json documents, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec

Prompt = str | list[int]
Biases = dict[str, float]


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """What a stream tells beside the text."""

    include_usage: bool = False
    include_obfuscation: bool | None = None  # OpenAI's; nothing is padded here


class Sampling(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Fields that completions and chat have in common; null is as good as not given.

    Those behind `user` are not OpenAI's but GenerationConfig's (docs/SERVER.md).
    """

    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Biases | None = None
    user: str | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    min_new_tokens: int | None = None
    ignore_eos: bool | None = None
    do_sample: bool | None = None
    regex: str | None = None
    json_schema: str | dict[str, Any] | None = None
    choices: list[str] | None = None
    context_overflow: str | None = None
    keep: int | None = None
    prompt_lookup_num_tokens: int | None = None
    return_token_ids: bool = False  # vLLM's: the ids of each choice, in token_ids


class CompletionBody(Sampling, kw_only=True):
    """POST /v1/completions."""

    # Text, token ids, or a list of either.
    prompt: str | list[str | int | list[int]] | None = None
    best_of: int | None = None
    echo: bool | None = None
    logprobs: int | None = None
    suffix: str | None = None
    parse_special: bool = False


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a message's content; text is the only kind."""

    type: str
    text: str | None = None


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """A message of a conversation."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None


class ResponseFormat(msgspec.Struct, forbid_unknown_fields=True):
    """What the answer has to be: text, json_object or json_schema."""

    type: str
    json_schema: dict[str, Any] | None = None


class ChatBody(Sampling, kw_only=True):
    """POST /v1/chat/completions."""

    messages: list[Message]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    # What OpenAI documents and no answer depends on.
    store: bool | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None


class TokenizeBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /tokenize."""

    prompt: str
    model: str | None = None
    add_special_tokens: bool = True
    return_token_strs: bool | None = False
    parse_special: bool = False


class DetokenizeBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /detokenize."""

    tokens: list[int]
    model: str | None = None


class NextBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /next."""

    prompt: Prompt
    k: int = 10
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    parse_special: bool = False


class ScoreBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /score."""

    prompt: Prompt
    alternatives: int = 5
    parse_special: bool = False


class AttentionBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /attention."""

    prompt: Prompt
    layer: int | None = None
    head: int | None = None
    parse_special: bool = False
