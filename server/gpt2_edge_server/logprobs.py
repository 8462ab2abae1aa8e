"""Log-probabilities in OpenAI's two shapes: lists side by side, and records of tokens."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from gpt2_edge.model import Model

Alternatives = Sequence[tuple[int, float]]
_LEAST = -9999.0  # OpenAI's figure for "never", as JSON has no infinity


def token_text(model: Model, token: int) -> str:
    """A token as OpenAI shows it: text, or its bytes where they are a part of a character."""
    if model.tokenizer is None:
        return str(token)
    content = model.tokenizer.token_bytes(token)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in content)


class LegacyLogprobs:
    """The `logprobs` of a completion's choice, as tokens come.

    text_offset: in characters, from the beginning of the prompt, whose tokens `add` sees first
    (shown where it is echoed).
    """

    def __init__(self, model: Model, alternatives: int) -> None:
        self._model, self._alternatives = model, alternatives
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0
        self._clear()

    def _clear(self) -> None:
        self._tokens: list[str] = []
        self._logprobs: list[float | None] = []
        self._tops: list[dict[str, float] | None] = []
        self._offsets: list[int] = []

    def skip(self, ids: Sequence[int]) -> None:
        """Count the prompt, which is not shown."""
        for token in ids:
            self._advance(token)

    def add(self, token: int, logprob: float | None, alternatives: Alternatives) -> None:
        """Take in one token."""
        self._tokens.append(token_text(self._model, token))
        self._logprobs.append(None if logprob is None else max(logprob, _LEAST))
        self._offsets.append(self._offset)
        self._advance(token)
        if not self._alternatives or logprob is None:
            self._tops.append(None)
            return
        top = {token_text(self._model, other): max(p, _LEAST) for other, p in alternatives}
        top.setdefault(self._tokens[-1], max(logprob, _LEAST))
        self._tops.append(top)

    def take(self) -> dict[str, Any]:
        """What was added since the last call."""
        record = {
            "tokens": self._tokens,
            "token_logprobs": self._logprobs,
            "top_logprobs": self._tops if self._alternatives else None,
            "text_offset": self._offsets,
        }
        self._clear()
        return record

    def _advance(self, token: int) -> None:
        tokenizer = self._model.tokenizer
        if tokenizer is not None and not tokenizer.is_special(token):
            self._offset += len(self._decoder.decode(tokenizer.token_bytes(token)))


def chat_logprobs(
    model: Model, ids: Sequence[int], logprobs: Sequence[float], tops: Sequence[Alternatives]
) -> dict[str, Any]:
    """The `logprobs` of a chat's choice."""
    content = []
    for number, (token, logprob) in enumerate(zip(ids, logprobs, strict=True)):
        record = _chat_record(model, token, logprob)
        others = tops[number] if tops else ()
        record["top_logprobs"] = [_chat_record(model, *other) for other in others]
        content.append(record)
    return {"content": content, "refusal": None}


def _chat_record(model: Model, token: int, logprob: float) -> dict[str, Any]:
    content = model.tokenizer.token_bytes(token) if model.tokenizer else b""
    return {
        "token": token_text(model, token),
        "logprob": max(logprob, _LEAST),
        "bytes": list(content),
    }
