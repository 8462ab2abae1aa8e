"""What generating gives back."""

from __future__ import annotations

from dataclasses import dataclass

_SHOWN_TEXT = 60


@dataclass(frozen=True)
class Token:
    """One generated token.

    Attributes:
        id: its number in the vocabulary.
        logprob: its log-probability (natural logarithm), where the config asks for it.
    """

    id: int
    logprob: float | None = None


@dataclass(frozen=True)
class TextEvent:
    """What a step added to a text: text that became certain, and the tokens that it wrote.

    The text of a token may come with a later event.

    Attributes:
        text: what became certain; "" where nothing did.
        ids: the tokens of this step.
        logprobs: the log-probability of each of `ids`, where the settings ask for them.
        top_logprobs: for each of `ids` the most likely tokens with their logprobs, likewise.
    """

    text: str
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()


@dataclass(frozen=True)
class NextToken:
    """One option for the next token.

    Attributes:
        id: its number in the vocabulary.
        text: the characters it stands for.
        probability: from 0 to 1, among the options that remain.
    """

    id: int
    text: str
    probability: float


@dataclass(frozen=True, repr=False)
class GenerationResult:
    """The result of a generation; as a string, its text, or its ids where there is none.

    Times are the model's, in seconds, without what a reader of the stream did between two tokens;
    rates are in tokens per second (0 where nothing was measured).

    Attributes:
        text: the new text, without the prompt and without a stop string; None where the package
            has no tokenizer.
        ids: all new token ids, the end-of-text token or those of a stop string included.
        finish_reason: "eos", "stop" (a stop string, or a criterion of the caller's), "length"
            (max_new_tokens, or the context is full), "time" (max_time), or "cancelled"
            (should_stop said so, or the stream was closed).
        prompt_tokens: how many tokens the prompt has.
        seed: of the random generator; None for greedy decoding.
        prompt_seconds: until the first token was chosen.
        decode_seconds: of all later tokens.
        logprobs: one for each id, where the config asked for them.
        provider: the execution provider that computed it (one of PROVIDERS).
        nodes: how many nodes of the graph each provider took; None where ONNX Runtime keeps no
            account (the CPU before 1.24).
        top_logprobs: for each id the most likely tokens there with their logprobs.
        sequences: all texts, where num_return_sequences asks for several; this result is the first.
        score: of beams, the sum of log-probabilities over length ** length_penalty.
        cached_tokens: of the prompt, found in a cache.
        drafted_tokens: how many tokens were guessed.
        accepted_tokens: how many of these the model kept.
    """

    text: str | None
    ids: tuple[int, ...]
    finish_reason: str
    prompt_tokens: int
    seed: int | None
    prompt_seconds: float
    decode_seconds: float
    logprobs: tuple[float, ...] | None = None
    provider: str = "cpu"
    nodes: dict[str, int] | None = None
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] | None = None
    sequences: tuple[GenerationResult, ...] = ()
    score: float | None = None
    cached_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0

    @property
    def prompt_tokens_per_second(self) -> float:
        """Speed of the prefill; the time includes choosing the first token."""
        return self.prompt_tokens / self.prompt_seconds if self.ids and self.prompt_seconds else 0.0

    @property
    def decode_tokens_per_second(self) -> float:
        """Speed of the tokens after the first, which belongs to the prefill."""
        later = len(self.ids) - 1
        return later / self.decode_seconds if later > 0 and self.decode_seconds else 0.0

    def __str__(self) -> str:
        return ",".join(map(str, self.ids)) if self.text is None else self.text

    def __repr__(self) -> str:
        text = str(self)
        short = text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}…"
        return f"<GenerationResult {short!r}, {len(self.ids)} tokens, {self.finish_reason!r}>"
