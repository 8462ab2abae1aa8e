"""Log-probabilities in OpenAI's two shapes: lists side by side, and records of tokens."""

from __future__ import annotations

import codecs
import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

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


class TextOffset:
    """Where the next token begins, in characters from the beginning of what was sent."""

    def __init__(self, model: Model) -> None:
        self._tokenizer, self.characters = model.tokenizer, 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def advance(self, token: int) -> None:
        """Go behind `token`."""
        tokenizer = self._tokenizer
        if tokenizer is not None and not tokenizer.is_special(token):
            self.characters += len(self._decoder.decode(tokenizer.token_bytes(token)))

    def copy(self) -> TextOffset:
        """Another one at the same place."""
        other = copy.copy(self)
        other._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        other._decoder.setstate(self._decoder.getstate())
        return other


@dataclass(frozen=True)
class Fragment:
    """Log-probabilities of some tokens as JSON, each list without its brackets: a prompt's are made
    once for all of its texts. tops: None where no alternatives are asked for.
    """

    tokens: bytes
    logprobs: bytes
    tops: bytes | None
    offsets: bytes


def joined(*fragments: Fragment) -> msgspec.Raw:
    """The `logprobs` of a completion's choice, made of `fragments` in turn."""

    def whole(parts: Iterable[bytes | None]) -> bytes:
        found = list(parts)
        if None in found:
            return b"null"
        return b"[" + b",".join(part for part in found if part) + b"]"

    names = {
        b"tokens": whole(each.tokens for each in fragments),
        b"token_logprobs": whole(each.logprobs for each in fragments),
        b"top_logprobs": whole(each.tops for each in fragments),
        b"text_offset": whole(each.offsets for each in fragments),
    }
    content = b",".join(b'"' + name + b'":' + value for name, value in names.items())
    return msgspec.Raw(b"{" + content + b"}")


class LegacyLogprobs:
    """Log-probabilities of a completion's tokens, as they come; `offset` is where they begin."""

    def __init__(self, model: Model, alternatives: int, offset: TextOffset) -> None:
        self._model, self._alternatives, self._offset = model, alternatives, offset
        self._clear()

    def _clear(self) -> None:
        self._tokens: list[str] = []
        self._logprobs: list[float | None] = []
        self._tops: list[dict[str, float] | None] = []
        self._offsets: list[int] = []

    def add(self, token: int, logprob: float | None, alternatives: Alternatives) -> None:
        """Take in one token."""
        self._tokens.append(token_text(self._model, token))
        self._logprobs.append(None if logprob is None else max(logprob, _LEAST))
        self._offsets.append(self._offset.characters)
        self._offset.advance(token)
        if not self._alternatives or logprob is None:
            self._tops.append(None)
            return
        top = {token_text(self._model, other): max(p, _LEAST) for other, p in alternatives}
        top.setdefault(self._tokens[-1], max(logprob, _LEAST))
        self._tops.append(top)

    def take(self) -> Fragment:
        """What was added since the last call."""
        tokens, logprobs, tops, offsets = (
            msgspec.json.encode(values)[1:-1]
            for values in (self._tokens, self._logprobs, self._tops, self._offsets)
        )
        self._clear()
        return Fragment(tokens, logprobs, tops if self._alternatives else None, offsets)


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
