"""The decode loop: feed, choose, stop? Everything that generates goes through it."""

from __future__ import annotations

import time
from collections import abc
from collections.abc import Callable
from dataclasses import dataclass, field

from gpt2_edge.config import EffectiveSettings, GenerationConfig
from gpt2_edge.errors import GenerationError
from gpt2_edge.result import GenerationResult, Token
from gpt2_edge.sampling import Logits, Sampler, log_probability
from gpt2_edge.session import FedSequence, Session

ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class Request:
    """One generation, checked: `settings` are the effective ones of `config`.

    seed: None for greedy decoding.
    """

    prompt_ids: list[int]
    config: GenerationConfig
    settings: EffectiveSettings
    eos_ids: tuple[int, ...]
    seed: int | None
    should_stop: ShouldStop | None


@dataclass
class Progress:
    """How far a generation is.

    finish_reason: what it ended with, or what it would end with if nothing more came.
    closed: ends it before the next token; whoever reads the tokens may set it.
    """

    finish_reason: str = "cancelled"
    tokens: list[Token] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    prompt_seconds: float = 0.0
    decode_seconds: float = 0.0
    closed: bool = False

    def result(self, request: Request, session: Session, has_text: bool) -> GenerationResult:
        """The record of what there is so far."""
        return GenerationResult(
            text="".join(self.text) if has_text else None,
            ids=tuple(token.id for token in self.tokens),
            finish_reason=self.finish_reason,
            prompt_tokens=len(request.prompt_ids),
            seed=request.seed,
            prompt_seconds=self.prompt_seconds,
            decode_seconds=self.decode_seconds,
            logprobs=tuple(token.logprob or 0.0 for token in self.tokens)
            if request.config.logprobs
            else None,
            provider=session.provider,
            nodes=session.nodes,
        )


def decode(
    session: Session, request: Request, choose: Sampler, progress: Progress
) -> abc.Generator[Token, None, None]:
    """The new tokens; closing the iterator frees their cache.

    Only the model's time is counted, not what happens between two tokens.
    """
    config, limit = request.config, request.settings.max_new_tokens
    context_length = session.package.manifest.architecture.context_length
    should_stop = _asking(request.should_stop, progress)
    fed: list[int] = request.prompt_ids
    sequence: FedSequence | None = None
    while True:
        started = time.perf_counter()
        if sequence is None:
            sequence = session.start(len(fed) + limit - 1)
        logits = _step(sequence, fed, should_stop)
        token = None if logits is None else _choose(logits, choose, config.logprobs)
        seconds = time.perf_counter() - started
        if progress.tokens:
            progress.decode_seconds += seconds
        else:
            progress.prompt_seconds = seconds
        if token is None:
            return
        progress.tokens.append(token)
        ended = token.id in request.eos_ids
        full = sequence.length == context_length and config.context_overflow == "stop"
        last = ended or full or len(progress.tokens) == limit
        if last:
            progress.finish_reason = "eos" if ended else "length"
        yield token
        if last:
            return
        fed = [token.id]
        if sequence.length == context_length:
            # The window slides: its newer half becomes the prompt again.
            fed = [*sequence.ids[(sequence.length + 1) // 2 :], token.id]
            sequence.trim(0)


def _choose(logits: Logits, choose: Sampler, with_logprob: bool) -> Token:
    token_id = choose(logits)
    return Token(token_id, log_probability(logits, token_id) if with_logprob else None)


def _step(sequence: FedSequence, ids: list[int], should_stop: ShouldStop) -> Logits | None:
    """Logits [vocab] after `ids`; None if the caller wants to stop."""
    if len(ids) > 1:
        return sequence.prefill(ids, should_stop=should_stop)
    if should_stop():
        return None
    logits: Logits = sequence.feed(ids)[0]
    return logits


def _asking(should_stop: ShouldStop | None, progress: Progress) -> ShouldStop:
    def ask() -> bool:
        if progress.closed or should_stop is None:
            return progress.closed
        try:
            return bool(should_stop())
        except StopIteration as error:  # which would end the iterator, as if all were well
            raise GenerationError(
                "should_stop raised StopIteration; it must return whether to stop"
            ) from error

    return ask
