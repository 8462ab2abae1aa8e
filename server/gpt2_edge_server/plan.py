"""What a body of /v1/completions asks for, and its prompts as they are read and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpt2_edge.config import GenerationConfig
from gpt2_edge_server.bodies import CompletionBody
from gpt2_edge_server.errors import refused
from gpt2_edge_server.logprobs import Fragment, LegacyLogprobs, TextOffset
from gpt2_edge_server.pool import LIGHT_TOKENS, GaveUp, Gone
from gpt2_edge_server.scoring import Predicted
from gpt2_edge_server.service import Service
from gpt2_edge_server.settings import config_of
from gpt2_edge_server.texts import as_texts, checked_prompts

_DEFAULT_TOKENS = 16  # OpenAI's


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


@dataclass(frozen=True)
class Begun:
    """What a prompt's answers begin with: its text and log-probabilities, where it is echoed, and
    where it ends.
    """

    text: str
    logprobs: Fragment | None
    end: TextOffset


class Prompts:
    """The prompts of a plan: `sent`, and `read`, of which the context has room for all.

    scores: of `read`, where they are asked for. Raises ContextOverflowError for a prompt that is
    too long.
    """

    def __init__(self, service: Service, plan: Plan, sent: Sequence[list[int]]) -> None:
        self._model, self._plan = service.generator, plan
        self.sent = sent
        self.read = checked_prompts(service, self.sent, plan.config)
        self.scores: list[list[Predicted]] | None = None

    def most_tokens(self) -> int:
        """How many tokens the answer may have, with those of prompts that are echoed."""
        plan, context = self._plan, self._model.context_length
        slides = plan.config.context_overflow == "slide"
        most = 0
        for given, sent, read in zip(plan.prompts, self.sent, self.read, strict=True):
            room = plan.max_tokens if slides else min(plan.max_tokens, context - len(read) + 1)
            most += plan.count * room
            if plan.body.echo:
                # A token may be a text of any length.
                most += plan.n * max(len(sent), len(given) // 4 if isinstance(given, str) else 0)
        return most

    @property
    def light(self) -> bool:
        """Whether little is to be done for the answer."""
        return self._plan.body.logprobs is None and self.most_tokens() <= LIGHT_TOKENS

    def shown(self, gone: Gone) -> list[Begun]:
        """Each prompt once, for all of its texts."""
        found = []
        for number in range(len(self.sent)):
            if gone():
                raise GaveUp
            offset = TextOffset(self._model)
            logprobs = self._logprobs(number, offset)
            found.append(Begun(self._echoed(number), logprobs, offset))
        return found

    def _echoed(self, number: int) -> str:
        given, tokenizer = self._plan.prompts[number], self._model.tokenizer
        if not self._plan.body.echo:
            return ""
        if isinstance(given, str):
            return given
        return "" if tokenizer is None else tokenizer.decode(given)

    def _logprobs(self, number: int, offset: TextOffset) -> Fragment | None:
        """The log-probabilities of a prompt; `offset` is behind it then.

        Tokens that did not fit the context have none, as the first.
        """
        sent, read, most = self.sent[number], self.read[number], self._plan.body.logprobs
        if self.scores is None or most is None:
            if most is not None:
                for token in sent:
                    offset.advance(token)
            return None
        scores: list[Predicted | None] = [None, *self.scores[number]]
        missing = len(sent) - len(read)
        kept = min(self._plan.config.keep or 0, len(read) - 1) if missing else 0
        scores[kept:kept] = [None] * missing
        counted = LegacyLogprobs(self._model, most, offset)
        for token, score in zip(sent, scores, strict=True):
            if score is None:
                counted.add(token, None, ())
            else:
                counted.add(token, score.logprob, score.alternatives)
        return counted.take()
