"""Members of a tokenizer.json, each what it has to be or one line that says what it is instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt2_edge.files.manifest_rules import LARGEST
from gpt2_edge.untrusted import UnreadableError, shown


def objects(part: Any, name: str, where: str) -> list[dict[str, Any]]:
    """The steps of the part `where`: none, itself, or those that it has as a Sequence in `name`."""
    if part is None:
        return []
    if not isinstance(part, dict):
        raise wrong(where, part)
    if part.get("type") != "Sequence":
        return [part]
    inner = part.get(name)
    if not isinstance(inner, list):
        raise wrong(f"{where}.{name}", inner)
    if any(isinstance(step, dict) and step.get("type") == "Sequence" for step in inner):
        raise unsupported(f"a {where} of sequences in sequences")
    return [step for each in inner for step in objects(each, name, where)]


def flag(part: Mapping[str, Any], name: str, default: bool = False) -> bool:
    value = part.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong(name, value)
    return value


def token_id(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(where, value)
    if not 0 <= value <= LARGEST["vocab_size"]:
        raise wrong(where, value)
    return value


def check_text(value: str, where: str) -> None:
    """Python's JSON takes half of a surrogate pair, which no UTF-8 can hold."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnreadableError(f"{where} has half of a surrogate pair at {error.start}") from error


def kind_of(part: Mapping[str, Any]) -> str:
    return shown(part.get("type"))


def wrong(where: str, value: object) -> UnreadableError:
    return UnreadableError(f"{where} is {shown(value)}")


def unsupported(what: str) -> UnreadableError:
    """For what the tokenizers library reads and this does not."""
    return UnreadableError(
        f"it has {what}; without the tokenizers library only GPT-2's kind, byte-level BPE, can be "
        "read: pip install tokenizers"
    )
