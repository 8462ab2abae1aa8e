"""Walking over the protobuf encoding: protobuf.dev/programming-guides/encoding.

Nothing is trusted: lengths, numbers of fields and texts are bounded, and raw data is stepped over.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO

_WINDOW = 1 << 14  # bytes read at a time
_HEADER = 20  # a field's key and a length or number, at most
# An optimum graph of 48 layers has some 100,000 fields in 4,000 nodes.
_MOST_FIELDS, _LONGEST_TEXT = 1_000_000, 4096

# Number, wire type, and the range of the content; for a number, its value and where it ends.
Field = tuple[int, int, int, int]


class OnnxFileError(Exception):
    """Why a file is no ONNX graph that can be taken, in words that stand behind its name."""


class ProtobufFile:
    """One pass over a file. A message is a range of it, [start, end)."""

    def __init__(self, source: BinaryIO | bytes) -> None:
        self._window, self._base = (source, 0) if isinstance(source, bytes) else (b"", 0)
        self._file = io.BytesIO() if isinstance(source, bytes) else source
        self._end = len(source) if isinstance(source, bytes) else source.seek(0, io.SEEK_END)
        self._left = _MOST_FIELDS

    def _text(self, start: int, end: int) -> str:
        if end - start > _LONGEST_TEXT:
            raise OnnxFileError(f"it has a name of {end - start} bytes")
        self._cover(start, end)
        content = self._window[start - self._base : end - self._base]
        return content.decode("utf-8", "backslashreplace")

    def _packed(self, start: int, end: int) -> Iterator[int]:
        """The numbers of a packed field."""
        if end - start > _WINDOW:
            raise OnnxFileError("it has a list of thousands of numbers where a few belong")
        self._cover(start, end)
        content, at = self._window[start - self._base : end - self._base], 0
        while at < len(content):
            size, at = _varint(content, at)
            yield signed(size)

    def _messages(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Number and range of the fields that have a length: messages, texts, arrays."""
        return ((n, first, last) for n, wire, first, last in self._all(start, end) if wire == 2)

    def _all(self, start: int, end: int) -> Iterable[Field]:
        """The fields of a message."""
        if end - start > _WINDOW and end - start > len(self._window):
            return self._far(start, end)
        self._cover(start, end)
        base = self._base
        found = _parse(self._window, start - base, end - base, self._left)
        self._left -= len(found)
        if not base:
            return found
        return [(n, wire, at + base if wire else at, end + base) for n, wire, at, end in found]

    def _far(self, start: int, end: int) -> Iterator[Field]:
        """The fields of a message that is read in parts: a header at a time."""
        while start < end:
            self._left -= 1
            self._cover(start, min(start + _HEADER, end))
            at = start - self._base
            (found,) = _parse(self._window, at, end - self._base, self._left, count=1)
            number, wire, value, last = found
            start = last + self._base
            yield number, wire, value + (self._base if wire else 0), start

    def _may_hold(self, texts: tuple[bytes, ...], start: int, end: int) -> bool:
        """Whether one of `texts` lies in the range, or whether that would take long to find out."""
        if end - start > _WINDOW:
            return True
        self._cover(start, end)
        first, last = start - self._base, end - self._base
        return any(self._window.find(text, first, last) >= 0 for text in texts)

    def _cover(self, start: int, end: int) -> None:
        """Have the bytes from `start` to `end` in the window."""
        if not (self._base <= start and end <= self._base + len(self._window)):
            self._file.seek(start)
            self._window, self._base = self._file.read(max(end - start, _WINDOW)), start


def _parse(buffer: bytes, at: int, end: int, most: int, count: int = -1) -> list[Field]:
    """The first `count` fields (all) of the message buffer[at:end], at most `most`.

    The last may end behind the buffer, where `end` lies there too.
    """
    found: list[Field] = []
    append = found.append
    try:
        while at < end and len(found) != count:
            key, at = (buffer[at], at + 1) if buffer[at] < 0x80 else _varint(buffer, at)
            wire = key & 7
            value = size = at
            if wire == 2:
                size, value = (buffer[at], at + 1) if buffer[at] < 0x80 else _varint(buffer, at)
                at = value + size
            elif wire == 0:
                value, at = (buffer[at], at + 1) if buffer[at] < 0x80 else _varint(buffer, at)
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            else:  # groups, which ONNX has not
                raise OnnxFileError("it is no ONNX file")
            if at > end:
                raise OnnxFileError("it is cut short, or no ONNX file")
            append((key >> 3, wire, value, at))
            if len(found) > most:
                raise OnnxFileError("it has more parts than any GPT-2")
    except IndexError as error:
        raise OnnxFileError("it is cut short, or no ONNX file") from error
    return found


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    """The number of up to 64 bits at `at`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise OnnxFileError("it is no ONNX file")


def signed(value: int) -> int:
    """The int64 that a varint of 64 bits stands for."""
    return value - (1 << 64) if value >> 63 else value
