"""What comes out of a file is untrusted: it is read within bounds, and shown within bounds.

Packages, checkpoints and tokenizers come from anywhere. JSON is read here and nowhere else; text
that is not our own goes through `shown` or `one_line` before a person sees it.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

# Python makes some 25 times their size of the worst JSON, so these bound memory too.
JSON_LIMIT = 8 << 20
TOKENIZER_LIMIT = 48 << 20
TEXT_LIMIT = 1 << 30

# What git leaves in place of a large file that git-lfs has not fetched.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"

_PART = 1 << 20
_SHOWN = 80
_LINE = 1000


class UnreadableError(Exception):
    """Why a file could not be read, in words that stand behind its name; callers say what to do."""


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of the regular file `path`, of at most `limit` bytes.

    Raises FileNotFoundError where there is none, UnreadableError for anything else.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableError("it is no regular file")
        return _bounded(path, limit)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnreadableError(_reason(error)) from error


def peek(path: Path, count: int = 64) -> tuple[bytes, int]:
    """The first `count` bytes of the regular file `path`, and its size; nothing more is read.

    Raises FileNotFoundError where there is none, UnreadableError for anything else that is no
    readable file, a Git LFS pointer included.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("it is no regular file")
        with path.open("rb") as file:
            head = file.read(max(count, len(_LFS_POINTER)))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise UnreadableError(_reason(error)) from error
    _refuse_pointer(head)
    return head[:count], status.st_size


def parse_json(content: bytes | str) -> Any:
    """The JSON value that `content` (UTF-8) holds.

    Raises UnreadableError for everything that Python's parser raises something for (syntax, depth,
    integers of thousands of digits, memory), and for a key that an object has twice.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        return json.loads(text, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise UnreadableError(str(error)) from error
    except RecursionError as error:
        raise UnreadableError("it is nested too deeply") from error
    except ValueError as error:
        raise UnreadableError("it has a number with too many digits") from error
    except MemoryError as error:
        raise UnreadableError("it does not fit into memory") from error


def read_json_object(path: Path, limit: int = JSON_LIMIT) -> dict[str, Any]:
    """The JSON object in the regular file `path`; errors as of `read_bytes` and `parse_json`."""
    value = parse_json(read_bytes(path, limit))
    if not isinstance(value, dict):
        raise UnreadableError("it holds no JSON object")
    return value


def read_text_file(path: Path, limit: int = TEXT_LIMIT) -> str:
    r"""The UTF-8 text in `path`, which may be a pipe: without a BOM, every line end as \n.

    Raises UnreadableError for anything that cannot be read as such, a missing file included.
    """
    try:
        content = _bounded(path, limit)
    except FileNotFoundError as error:
        raise UnreadableError("there is no such file") from error
    except (OSError, ValueError) as error:
        raise UnreadableError(_reason(error)) from error
    return text_of(content)


def text_of(content: bytes) -> str:
    r"""`content` (UTF-8) as text: without a BOM, every line end as \n; UnreadableError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"byte {error.start} is not UTF-8 text; save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def shown(value: object, limit: int = _SHOWN) -> str:
    """`value` for a message: its repr, which has no control characters, cut to `limit`."""
    if isinstance(value, (str, bytes)):  # not all of a long one is worth a repr
        value = value[: limit + 1]
    try:
        text = repr(value)
    except Exception:  # an integer of thousands of digits, deep nesting, a caller's own class
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[:limit]}…"


def printable(text: str) -> str:
    r"""`text` with everything that could steer a terminal as an escape, such as \x1b or \n."""
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)


def one_line(text: str, limit: int = _LINE) -> str:
    """`text` as one printable line; of a longer one, the beginning and the end."""
    text = printable(text)
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end - 3]} … {text[-end:]}"


def _bounded(path: Path, limit: int) -> bytes:
    # Not read(limit): that takes memory for the limit, however small the file is.
    parts, size = [], 0
    try:
        with path.open("rb") as file:
            while part := file.read(_PART):
                size += len(part)
                if size > limit:
                    raise UnreadableError(f"it has more than {limit >> 20} MB")
                parts.append(part)
        content = b"".join(parts)
    except MemoryError as error:
        raise UnreadableError("it does not fit into memory") from error
    _refuse_pointer(content)
    return content


def _refuse_pointer(content: bytes) -> None:
    if content.startswith(_LFS_POINTER):
        raise UnreadableError("it is a Git LFS pointer, not the file itself: git lfs pull")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise UnreadableError(f"an object has the key {shown(twice)} twice")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(str(error)) or type(error).__name__
