"""From what a request came to, to the result that a caller gets."""

from __future__ import annotations

from collections.abc import Sequence

from gpt2_edge.config import EffectiveSettings
from gpt2_edge.decode.beam import Hypothesis
from gpt2_edge.decode.beam_texts import BeamTexts
from gpt2_edge.decode.request import SingleText
from gpt2_edge.graph.session import Session
from gpt2_edge.result import GenerationResult, TextEvent
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge.text.writer import TextWriter


def single_result(
    request: SingleText, events: Sequence[TextEvent], session: Session, seed: int | None
) -> GenerationResult:
    """The record of one text, of the events that it had."""
    return GenerationResult(
        text="".join(event.text for event in events) if request.writes_text else None,
        ids=tuple(request.new_ids),
        finish_reason=request.finish_reason or "cancelled",
        prompt_tokens=len(request.prompt),
        seed=seed,
        prompt_seconds=request.prompt_seconds,
        decode_seconds=request.decode_seconds,
        logprobs=tuple(p for event in events for p in event.logprobs)
        if request.with_logprobs
        else None,
        top_logprobs=tuple(p for event in events for p in event.top_logprobs) or None,
        cached_tokens=request.cached_tokens,
        drafted_tokens=request.drafted,
        accepted_tokens=request.agreed,
        provider=session.provider,
        nodes=session.nodes,
    )


def beam_results(
    request: BeamTexts, config: EffectiveSettings, session: Session, tokenizer: Tokenizer | None
) -> list[GenerationResult]:
    """The records of the best texts of a search, one at least; of one that was cut short, of what
    had ended.
    """
    found = []
    best: list[Hypothesis | None] = [*request.best(config.num_return_sequences)]
    for hypothesis in best or [None]:
        ids = () if hypothesis is None else hypothesis.ids
        text, stopped = None, False
        if tokenizer is not None:
            writer = TextWriter(tokenizer, config.stop_strings, config.include_stop_str)
            text = "".join(writer.push(token) for token in ids if not writer.stopped)
            text += "" if writer.stopped else writer.finish()
            stopped = writer.stopped
        ended = bool(ids) and ids[-1] in request.limits.eos_ids
        stopped = stopped or (bool(ids) and request.stopped([*request.prompt, *ids]))
        other = "length" if hypothesis is not None else request.finish_reason or "cancelled"
        reason = "stop" if stopped else "eos" if ended else other
        found.append(
            GenerationResult(
                text=text,
                ids=ids,
                finish_reason=reason,
                prompt_tokens=len(request.prompt),
                seed=None,
                prompt_seconds=request.prompt_seconds,
                decode_seconds=request.decode_seconds,
                provider=session.provider,
                nodes=session.nodes,
                score=None if hypothesis is None else hypothesis.score,
                cached_tokens=request.cached_tokens,
            )
        )
    return found
