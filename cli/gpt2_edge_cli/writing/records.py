"""A result as a JSON object, as a text for people, and as a line of figures."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from gpt2_edge_cli.terminal import Screen, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpt2_edge.config import EffectiveSettings
    from gpt2_edge.generate import GenerationResult, Generator
    from gpt2_edge.model import Prompt

_FEW_TOKENS = 64  # the time for a shorter prompt says nothing about speed
_SHOWN_PROMPT = 60  # characters of a prompt above its text


def is_context_full(
    result: GenerationResult, generator: Generator, settings: EffectiveSettings
) -> bool:
    """Whether "length" means that the context was full before as many tokens as asked for."""
    if result.finish_reason != "length" or settings.context_overflow == "slide":
        return False
    written = result.prompt_tokens + len(result.ids) - 1  # the last one was not fed
    asked = len(result.ids) == settings.max_new_tokens
    return written == generator.context_length and not asked


def record(
    result: GenerationResult, generator: Generator, prompt: Prompt, ids: list[int], full: bool
) -> dict[str, Any]:
    """The JSON object of a result."""
    return {
        "package": generator.name,
        "prompt": prompt if isinstance(prompt, str) else None,
        "prompt_ids": ids,
        **dataclasses.asdict(result),
        "context_full": full,
        "fallback_reason": generator.fallback_reason,
        "prompt_tokens_per_second": round(result.prompt_tokens_per_second, 1),
        "decode_tokens_per_second": round(result.decode_tokens_per_second, 1),
    }


def interrupted(result: GenerationResult) -> GenerationResult:
    """The result of a text that Ctrl-C ended, which says so."""
    cut = tuple(map(interrupted, result.sequences))
    reason = "interrupted" if result.finish_reason == "cancelled" else result.finish_reason
    return dataclasses.replace(result, finish_reason=reason, sequences=cut)


def write_texts(result: GenerationResult, screen: Screen) -> None:
    """The text of a result; where there are several, each under its number."""
    if not result.sequences:
        screen.write(f"{result}\n")
    for number, text in enumerate(result.sequences, 1):
        score = "" if text.score is None else f", score {text.score:.4f}"
        screen.write(f"--- {number} of {len(result.sequences)}{score} ---\n", dim=True)
        screen.write(f"{text}\n")


def header(prompt: str, number: int, count: int) -> str:
    """The line above the text of one of several prompts."""
    first = " ".join(prompt.split())
    short = first if len(first) <= _SHOWN_PROMPT else f"{first[: _SHOWN_PROMPT - 1]}…"
    return f"=== {number} of {count}: {short} ===\n"


def summary(result: GenerationResult, full: bool) -> str:
    """How a text ended, and how fast it was."""
    ended = {
        "eos": "end of text",
        "stop": "a --stop text came",
        "length": "as many as asked for",
        "time": "--max-time is over",
        "interrupted": "interrupted",
    }.get(result.finish_reason, result.finish_reason)
    if full:
        ended = "the context is full (--slide goes on)"
    parts = [f"{counted(len(result.ids), 'token')}: {ended}"]
    if result.seed is not None:
        parts.append(f"seed {result.seed}")
    if result.cached_tokens:
        parts.append(f"{result.cached_tokens:,} of {result.prompt_tokens:,} tokens were cached")
    if result.drafted_tokens:
        parts.append(f"{result.accepted_tokens:,} of {result.drafted_tokens:,} guesses were right")
    if result.ids:
        parts.append(f"first token after {1000 * result.prompt_seconds:,.0f} ms")
    if result.prompt_tokens - result.cached_tokens >= _FEW_TOKENS:
        parts.append(f"prompt {result.prompt_tokens_per_second:,.0f} tokens/s")
    if result.decode_tokens_per_second:
        parts.append(f"then {result.decode_tokens_per_second:,.0f} tokens/s")
    return f"[{'; '.join(parts)}]"


def summary_of_several(results: Sequence[GenerationResult], seconds: float) -> str:
    """The same of several texts that were written together in `seconds`."""
    texts = [text for result in results for text in result.sequences or (result,)]
    tokens = sum(len(text.ids) for text in texts)
    speed = f"; {tokens / seconds:,.0f} tokens/s in all" if tokens and seconds else ""
    return f"[{counted(len(texts), 'text')}, {counted(tokens, 'token')}{speed}]"
