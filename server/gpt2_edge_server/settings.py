"""From a request's fields to the settings of a generation."""

from __future__ import annotations

from typing import Any

from gpt2_edge.config import GenerationConfig
from gpt2_edge.errors import GenerationError
from gpt2_edge_server.bodies import Sampling
from gpt2_edge_server.errors import refused

# That one text keeps in memory; without a slide the context bounds them.
_MOST_ALTERNATIVES = 1 << 17
# Ours, and the same by the same names in GenerationConfig.
_SAME = (
    "seed", "presence_penalty", "frequency_penalty", "min_p", "typical_p",
    "repetition_penalty", "no_repeat_ngram_size", "min_new_tokens", "ignore_eos", "do_sample",
    "regex", "json_schema", "choices", "context_overflow", "keep", "prompt_lookup_num_tokens",
)  # fmt: skip


def config_of(body: Sampling, max_tokens: int, logprobs: int | None) -> GenerationConfig:
    """The settings that `body` asks for; what it leaves open is as at OpenAI.

    max_tokens: what it says, or the default. logprobs: how many alternatives to each token; None
    for no log-probabilities. Raises ApiError for what is out of range.
    """
    if body.context_overflow == "slide" and (logprobs or 0) * max_tokens > _MOST_ALTERNATIVES:
        raise refused(
            f"max_tokens times logprobs is {_MOST_ALTERNATIVES:,} at most where a text may slide",
            "max_tokens",
        )
    settings: dict[str, Any] = {
        name: value for name in _SAME if (value := getattr(body, name)) is not None
    }
    settings["temperature"] = 1.0 if body.temperature is None else body.temperature
    settings["top_p"] = 1.0 if body.top_p is None else body.top_p
    settings["top_k"] = 0 if body.top_k is None else body.top_k
    if body.stop:
        settings["stop_strings"] = body.stop
    if body.logit_bias:
        settings["logit_bias"] = {int(token): bias for token, bias in body.logit_bias.items()}
    if logprobs is not None:
        settings |= {"logprobs": True, "top_logprobs": logprobs}
    try:
        return GenerationConfig(max_new_tokens=max(max_tokens, 1), **settings)
    except GenerationError as error:
        name = str(error).partition(" ")[0]
        raise refused(str(error), name if name in settings else None) from error
