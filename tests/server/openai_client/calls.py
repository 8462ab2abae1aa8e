"""Calls of the `openai` package, and what the library gives for the same."""

from __future__ import annotations

from typing import Any

import openai

from gpt2_edge import GenerationResult, Generator
from server.process import WAIT, Served

PROMPT = "It was late in the evening"
# What OpenAI's API does where nothing is said.
DEFAULTS: dict[str, Any] = {"max_new_tokens": 16, "temperature": 1.0, "top_k": 0}


def client_of(server: Served, key: str = "none") -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=WAIT)


def drawn(generator: Generator, prompt: Any = PROMPT, **settings: Any) -> GenerationResult:
    return generator.generate(prompt, **(DEFAULTS | settings))


def greedy(generator: Generator, prompt: Any = PROMPT, **settings: Any) -> GenerationResult:
    return generator.generate(prompt, **({"max_new_tokens": 16, "do_sample": False} | settings))
