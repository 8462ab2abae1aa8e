r"""Values of settings as a person types them: numbers, words, and lists as 1,2,3 or as JSON.

Each function turns one string into what GenerationConfig takes, or raises ArgumentTypeError, whose
message stands behind the option's name.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gpt2_edge.untrusted import UnreadableError, parse_json, read_text_file, shown

_SHOWN = 40  # characters of a value in a message
_FILE_LIMIT = 8 << 20  # of a grammar
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def truth(text: str) -> bool:
    """True or false."""
    value = _WORDS.get(text.lower())
    if value is None:
        raise _refusal("true or false", text)
    return value


def early(text: str) -> bool | str:
    """What early_stopping may be."""
    if text.lower() == "never":
        return "never"
    if text.lower() not in _WORDS:
        raise _refusal("true, false or never", text)
    return truth(text)


def overflow(text: str) -> str:
    """What context_overflow may be."""
    if text not in ("stop", "slide"):
        raise _refusal("stop or slide", text)
    return text


def plain(text: str) -> str:
    """A text, which was typed in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refusal("UTF-8 text", text) from None
    if not text:
        raise argparse.ArgumentTypeError("takes a text, not an empty one")
    return text


def text_or_file(text: str) -> str:
    """A text, or the content of FILE for @FILE."""
    if not text.startswith("@"):
        return plain(text)
    try:
        return read_text_file(Path(text[1:]), _FILE_LIMIT)
    except UnreadableError as error:
        raise argparse.ArgumentTypeError(
            f"cannot be read from {shown(text[1:], 200)}: {error}"
        ) from error


def texts(text: str) -> list[str]:
    """One text, or several as a JSON list."""
    value = _json(text)
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return [plain(each) for each in value]
    return [plain(text)]


def ids(text: str) -> list[int]:
    """Token ids: 1,2,3 or JSON."""
    value = _json(text)
    found = value if _are_ids(value) else _listed(text)
    if not found:
        raise _refusal("token ids, as 464,3290", text)
    return found


def words(text: str) -> list[list[int]]:
    """Sequences of token ids: one as 1,2,3, or several as JSON [[1,2],[3]]."""
    value = _json(text)
    if isinstance(value, list) and value and all(_are_ids(each) for each in value):
        return value
    found = value if _are_ids(value) else _listed(text)
    if not found:
        raise _refusal("token ids, as 464,3290 or [[464,3290],[11]]", text)
    return [found]


def biases(text: str) -> list[list[Any]]:
    """Biases: one as 1,2=-3.5, several as JSON {"1": -3.5} or [[[1, 2], -3.5]]."""
    value = _json(text)
    if isinstance(value, dict):
        return [[_key(key, text), _bias(bias, text)] for key, bias in value.items()]
    if isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 for p in value):
        return [[_key(key, text), _bias(bias, text)] for key, bias in value]
    key, _, bias = text.partition("=")
    return [[_key(key, text), _bias(bias, text)]]


def _key(key: Any, text: str) -> list[int]:
    if isinstance(key, str):
        key = _listed(key)
    found = [key] if _is_id(key) else key
    if not found or not _are_ids(found):
        raise _refusal("ID=BIAS, as 464=-100, or JSON", text)
    return list(found)


def _bias(bias: Any, text: str) -> float:
    try:
        if not isinstance(bias, bool):
            return float(bias)
    except (ValueError, TypeError, OverflowError):
        pass
    raise _refusal("ID=BIAS, as 464=-100, or JSON", text)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_id, value))


def _listed(text: str) -> list[int] | None:
    """The whole numbers in `text`, between commas or spaces; None for anything else."""
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        return None


def _json(text: str) -> Any:
    """The JSON list or object that `text` is; None for anything else."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return parse_json(text)
    except UnreadableError:
        return None


def _refusal(what: str, text: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"takes {what}, not {shown(text, _SHOWN)}")
