"""The bodies of requests: field by field what /openapi.json documents, and nothing else."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

MOST_TEXTS = 128  # n and best_of, as at OpenAI
MOST_ALTERNATIVES = 20
_MOST_TOKENS = 1 << 16

TokenId = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
Prompt = str | list[TokenId]
Probability = Annotated[float, Meta(ge=0, le=1)]
Temperature = Annotated[float, Meta(ge=0, le=100)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=0, le=_MOST_TOKENS)]
Texts = Annotated[int, Meta(ge=1, le=MOST_TEXTS)]
Alternatives = Annotated[int, Meta(ge=0, le=MOST_ALTERNATIVES)]
Seed = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
StopString = Annotated[str, Meta(min_length=1, max_length=1000)]
StopStrings = Annotated[list[StopString], Meta(max_length=16)]
Biases = Annotated[
    dict[
        Annotated[str, Meta(pattern="^[0-9]{1,9}$")],
        Annotated[float, Meta(ge=-100, le=100)],
    ],
    Meta(max_length=4096),
]
Regex = Annotated[str, Meta(min_length=1, max_length=1 << 13)]
Schema = Annotated[str, Meta(min_length=1, max_length=1 << 16)]
Choice = Annotated[str, Meta(min_length=1)]
Overflow = Annotated[str, Meta(pattern="^(stop|slide)$")]


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """What all bodies are: a field that is not documented is refused by name."""


class StreamOptions(Body):
    """What a stream tells beside the text."""

    include_usage: bool = False
    include_obfuscation: bool | None = None  # OpenAI's; nothing is padded here


class Sampling(Body, kw_only=True):
    """Fields that completions and chat have in common; null is as good as not given.

    Those behind `user` are not OpenAI's but GenerationConfig's (docs/SERVER.md).
    """

    model: str | None = None
    max_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    n: Texts | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: StopString | StopStrings | None = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Biases | None = None
    user: str | None = None
    top_k: Count | None = None
    min_p: Probability | None = None
    typical_p: Probability | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    no_repeat_ngram_size: Count | None = None
    min_new_tokens: Count | None = None
    ignore_eos: bool | None = None
    do_sample: bool | None = None
    regex: Regex | None = None
    json_schema: Schema | dict[str, Any] | None = None
    choices: Annotated[list[Choice], Meta(min_length=1, max_length=1024)] | None = None
    context_overflow: Overflow | None = None
    keep: Count | None = None
    prompt_lookup_num_tokens: Annotated[int, Meta(ge=0, le=64)] | None = None
    return_token_ids: bool | None = None  # vLLM's: the ids of each choice, in token_ids
    parse_special: bool = False  # special tokens that are written out count as such


class CompletionBody(Sampling, kw_only=True):
    """POST /v1/completions."""

    # Text, token ids, or a list of either.
    prompt: str | list[str | TokenId | list[TokenId]] | None = None
    best_of: Texts | None = None
    echo: bool | None = None
    logprobs: Alternatives | None = None
    suffix: str | None = None


class Part(Body):
    """A part of a message's content; text is the only kind."""

    type: str
    text: str | None = None


class Message(Body):
    """A message of a conversation."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    refusal: str | None = None


class ResponseFormat(Body):
    """What the answer has to be: text, json_object or json_schema."""

    type: str
    json_schema: dict[str, Any] | None = None


class ChatBody(Sampling, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Alternatives | None = None
    response_format: ResponseFormat | None = None
    # What OpenAI documents and no answer depends on.
    store: bool | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None


class TokenizeBody(Body):
    """POST /tokenize."""

    prompt: str
    model: str | None = None
    add_special_tokens: bool = True
    return_token_strs: bool | None = False
    parse_special: bool = False


class DetokenizeBody(Body):
    """POST /detokenize."""

    tokens: list[TokenId]
    model: str | None = None


class NextBody(Body):
    """POST /next."""

    prompt: Prompt
    k: Annotated[int, Meta(ge=1, le=1000)] = 10
    temperature: Temperature | None = None
    top_k: Count | None = None
    top_p: Probability | None = None
    min_p: Probability | None = None
    seed: Seed | None = None
    parse_special: bool = False


class ScoreBody(Body):
    """POST /score."""

    prompt: Prompt
    alternatives: Alternatives = 5
    parse_special: bool = False


class AttentionBody(Body):
    """POST /attention."""

    prompt: Prompt
    layer: Annotated[int, Meta(ge=0)] | None = None
    head: Annotated[int, Meta(ge=0)] | None = None
    parse_special: bool = False
