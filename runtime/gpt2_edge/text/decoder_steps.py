"""The steps of a tokenizer.json's decoder, each on one token or piece of text at a time.

What each step computes is defined by the tokenizers library (tokenizers/src/decoders); tests
compare them with it on random ids.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from typing import Protocol


class Step(Protocol):
    """Takes tokens, or pieces of the one token that an earlier step made of all.

    push: what became certain of the output. finish: the rest. fuses: whether the output is one
    token in pieces.
    """

    fuses: bool

    def push(self, token: str) -> list[str]: ...

    def finish(self) -> list[str]: ...


class Chain:
    """Steps one after another, as one step."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self.fuses = any(step.fuses for step in steps)

    def push(self, token: str) -> list[str]:
        return self._through([token], 0)

    def finish(self) -> list[str]:
        rest: list[str] = []
        for number, step in enumerate(self._steps):
            rest += self._through(step.finish(), number + 1)
        return rest

    def _through(self, pieces: list[str], first: int) -> list[str]:
        for step in self._steps[first:]:
            pieces = [made for piece in pieces for made in step.push(piece)]
        return pieces


class Local:
    """A step that makes one token of one and holds nothing back."""

    fuses = False

    def __init__(self, change: Callable[[str], str]) -> None:
        self._change = change

    def push(self, token: str) -> list[str]:
        return [self._change(token)]

    def finish(self) -> list[str]:
        return []


class FirstIsOther:
    """A step that treats the first token in its own way."""

    fuses = False

    def __init__(self, first: Callable[[str], str], others: Callable[[str], str]) -> None:
        self._change, self._others = first, others

    def push(self, token: str) -> list[str]:
        changed = self._change(token)
        self._change = self._others
        return [changed]

    def finish(self) -> list[str]:
        return []


class JoinWithSpaces(FirstIsOther):
    """What the library does where a file has no decoder."""

    def __init__(self) -> None:
        super().__init__(lambda token: token, lambda token: f" {token}")


class ByteLevel:
    """Characters that stand for bytes, put together as UTF-8; what is none becomes U+FFFD."""

    fuses = True

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def text(self, token: str) -> str:
        return self._decoder.decode(bytes_of_token(token))

    def push(self, token: str) -> list[str]:
        return [self.text(token)]

    def finish(self) -> list[str]:
        return [self._decoder.decode(b"", final=True)]


class Fuse(Local):
    fuses = True

    def __init__(self) -> None:
        super().__init__(lambda token: token)


class ByteFallback:
    """Tokens <0xE9>: a run of them is UTF-8, or as many U+FFFD; known when the run ends."""

    fuses = False

    def __init__(self) -> None:
        self._run = bytearray()

    def push(self, token: str) -> list[str]:
        byte = _byte_of(token)
        if byte is None:
            return [*self.finish(), token]
        self._run.append(byte)
        return []

    def finish(self) -> list[str]:
        run, self._run = self._run, bytearray()
        try:
            return [run.decode("utf-8")] if run else []
        except UnicodeDecodeError:
            return ["\ufffd"] * len(run)


class LastIsOther:
    """BPEDecoder: the end of a word is a space, but for the last."""

    fuses = False

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix
        self._held: str | None = None

    def push(self, token: str) -> list[str]:
        before, self._held = self._held, token
        return [] if before is None else [before.replace(self._suffix, " ")]

    def finish(self) -> list[str]:
        last, self._held = self._held, None
        return [] if last is None else [last.replace(self._suffix, "")]


class ReplaceInPieces:
    """A replacement in one long token, of which the end of a piece may be the beginning."""

    fuses = False

    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new
        self._held = ""

    def push(self, token: str) -> list[str]:
        *before, rest = (self._held + token).split(self._old)
        longest = min(len(rest), len(self._old) - 1)
        kept = next((k for k in range(longest, 0, -1) if self._old.startswith(rest[-k:])), 0)
        cut = len(rest) - kept
        self._held = rest[cut:]
        return ["".join(f"{part}{self._new}" for part in before) + rest[:cut]]

    def finish(self) -> list[str]:
        rest, self._held = self._held, ""
        return [rest]


class StripInPieces:
    """Takes up to `start` of a character from the beginning of all, up to `stop` from the end."""

    fuses = False

    def __init__(self, content: str, start: int, stop: int) -> None:
        self._content, self._start, self._stop = content, start, stop
        self._held = ""

    def push(self, token: str) -> list[str]:
        while self._start and token:
            if token[0] != self._content:
                self._start = 0
                break
            token, self._start = token[1:], self._start - 1
        token = self._held + token
        end = len(token) - _count_at_end(token, self._content, self._stop)
        self._held = token[end:]
        return [token[:end]]

    def finish(self) -> list[str]:
        return []


# What Rust's u8::from_str_radix takes, a sign included.
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>")


def strip(token: str, content: str, start: int, stop: int) -> str:
    """`token` without up to `start` characters `content` at its start and `stop` at its end."""
    begin = 0
    while begin < min(start, len(token)) and token[begin] == content:
        begin += 1
    return token[begin : max(begin, len(token) - _count_at_end(token, content, stop))]


def _count_at_end(token: str, content: str, most: int) -> int:
    count = 0
    while count < min(most, len(token)) and token[-1 - count] == content:
        count += 1
    return count


def _byte_of(token: str) -> int | None:
    found = _BYTE.fullmatch(token)
    return None if found is None else int(found[1], 16)


def _byte_of_character() -> dict[str, int]:
    """GPT-2's table of printable characters that stand for bytes (encoder.py of its release)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + index): byte for index, byte in enumerate(others)}


BYTE_OF_CHARACTER = _byte_of_character()


def bytes_of_token(token: str) -> bytes:
    # An added token may hold characters that stand for no byte; the library then takes it as is.
    if all(character in BYTE_OF_CHARACTER for character in token):
        return bytes(BYTE_OF_CHARACTER[character] for character in token)
    return token.encode("utf-8")
