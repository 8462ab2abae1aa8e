"""From a request's fields to the settings of a generation."""

from __future__ import annotations

from typing import Any

from gpt2_edge.config import GenerationConfig
from gpt2_edge.errors import GenerationError
from gpt2_edge_server.bodies import Sampling
from gpt2_edge_server.errors import refused

_MOST_STOPS, _LONGEST_STOP = 16, 1000
_MOST_BIASES = 4096
_MOST_TOKENS = 1 << 16
_MOST_TEXTS = 128  # n and best_of, as at OpenAI
_LONGEST_GRAMMAR = 1 << 16
# Ours, and the same by the same names in GenerationConfig.
_SAME = (
    "seed", "presence_penalty", "frequency_penalty", "min_p", "typical_p",
    "repetition_penalty", "no_repeat_ngram_size", "min_new_tokens", "ignore_eos", "do_sample",
    "regex", "json_schema", "choices", "context_overflow", "keep", "prompt_lookup_num_tokens",
)  # fmt: skip


def config_of(body: Sampling, max_tokens: int, logprobs: int | None) -> GenerationConfig:
    """The settings that `body` asks for.

    max_tokens: what it says, or the default. logprobs: how many alternatives to each token; None
    for no log-probabilities. Raises ApiError for what is out of range.
    """
    within("max_tokens", max_tokens, 0, _MOST_TOKENS)
    within("temperature", body.temperature, 0, 100)
    within("presence_penalty", body.presence_penalty, -2, 2)
    within("frequency_penalty", body.frequency_penalty, -2, 2)
    if body.regex is not None and len(body.regex) > _LONGEST_GRAMMAR:
        raise refused(f"regex has more than {_LONGEST_GRAMMAR} characters", "regex")
    settings: dict[str, Any] = {
        name: value for name in _SAME if (value := getattr(body, name)) is not None
    }
    settings["temperature"] = 1.0 if body.temperature is None else body.temperature
    settings["top_p"] = 1.0 if body.top_p is None else body.top_p
    settings["top_k"] = 0 if body.top_k is None else body.top_k
    if body.stop:
        settings["stop_strings"] = _stops(body.stop)
    if body.logit_bias:
        settings["logit_bias"] = _biases(body.logit_bias)
    if logprobs is not None:
        settings |= {"logprobs": True, "top_logprobs": within("logprobs", logprobs, 0, 20)}
    try:
        return GenerationConfig(max_new_tokens=max(max_tokens, 1), **settings)
    except GenerationError as error:
        raise refused(str(error), str(error).partition(" ")[0]) from error


def count_of(name: str, value: int | None, default: int = 1) -> int:
    """What n or best_of says; ApiError where it is out of range."""
    count = default if value is None else value
    within(name, count, 1, _MOST_TEXTS)
    return count


def within(name: str, value: Any, least: float, most: float) -> Any:
    """`value`; ApiError unless it is from `least` to `most`, or None."""
    if value is not None and not least <= value <= most:
        raise refused(f"{name} must be from {least:g} to {most:g}", name)
    return value


def _stops(stop: str | list[str]) -> list[str]:
    strings = [stop] if isinstance(stop, str) else stop
    if len(strings) > _MOST_STOPS or any(len(s) > _LONGEST_STOP for s in strings):
        raise refused(
            f"stop takes {_MOST_STOPS} strings of {_LONGEST_STOP:,} characters at most", "stop"
        )
    if not all(strings):
        raise refused("a stop string is empty", "stop")
    return strings


def _biases(given: dict[str, float]) -> dict[int, float]:
    if len(given) > _MOST_BIASES:
        raise refused(f"logit_bias takes {_MOST_BIASES:,} tokens at most", "logit_bias")
    found = {}
    for key, bias in given.items():
        if not (key.isascii() and key.isdigit() and len(key) < 10):
            raise refused("logit_bias takes token ids as its keys", "logit_bias")
        found[int(key)] = within("logit_bias", bias, -100, 100)
    return found
