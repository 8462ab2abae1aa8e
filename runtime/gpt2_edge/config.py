"""What a caller can ask of a generation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpt2_edge.errors import GenerationError


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of one generation; names and meanings follow transformers' GenerationConfig.

    max_new_tokens: how many tokens to write at most.
    do_sample: draw from the distribution; False takes the most likely token (greedy). None, the
        default, samples exactly if temperature, top_k, top_p or seed is given.
    temperature: divides the logits (default 1); 0 is greedy.
    top_k: keep the k most likely tokens (default 50; the vocabulary's size or more keeps all).
    top_p: of those, keep the smallest set whose probability reaches top_p (default 1).
    seed: of the random generator; None takes a fresh one, which the result reports.
    stop_strings: end before the first of these strings; it is not part of the text.
    ignore_eos: go on past the end-of-text token.
    context_overflow: once the context is full, "stop" ends with finish_reason "length"; "slide"
        forgets the older half of the window and goes on.
    logprobs: report the log-probability of each token (natural logarithm, over the whole
        vocabulary, before temperature).

    Raises GenerationError for a value out of range.
    """

    max_new_tokens: int = 128
    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop_strings: tuple[str, ...] = ()
    ignore_eos: bool = False
    context_overflow: str = "stop"
    logprobs: bool = False

    def __post_init__(self) -> None:
        self._require(self.max_new_tokens >= 1, "max_new_tokens", "at least 1")
        if self.temperature is not None:
            fine = math.isfinite(self.temperature) and self.temperature >= 0
            self._require(fine, "temperature", "0 (greedy) or more")
        self._require(self.top_k is None or self.top_k >= 1, "top_k", "at least 1")
        self._require(
            self.top_p is None or 0 < self.top_p <= 1, "top_p", "greater than 0 and at most 1"
        )
        if isinstance(self.stop_strings, str):
            object.__setattr__(self, "stop_strings", (self.stop_strings,))
        self._require(all(self.stop_strings), "stop_strings", "strings that are not empty")
        self._require(
            self.context_overflow in ("stop", "slide"), "context_overflow", "'stop' or 'slide'"
        )

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn at random, given all of the above."""
        if self.temperature == 0:
            return False
        if self.do_sample is not None:
            return self.do_sample
        given = (self.temperature, self.top_k, self.top_p, self.seed)
        return any(value is not None for value in given)

    def _require(self, fine: bool, name: str, expected: str) -> None:
        if not fine:
            raise GenerationError(f"{name} is {getattr(self, name)!r}; it must be {expected}")
