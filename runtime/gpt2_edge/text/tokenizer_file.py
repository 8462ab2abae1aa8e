"""A tokenizer.json from anywhere becomes a tokenizer of the `tokenizers` library, or an error.

The library is written in Rust and panics on some files: its PanicException is no Exception, and
Rust prints lines of its own before. So shapes that it is known to panic on, or that would take
time or memory without bound, are refused here before it sees them; `library_call` turns what is
left into UnreadableError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from tokenizers import Tokenizer

from gpt2_edge.text.regex_check import is_risky
from gpt2_edge.text.tokenizer_parts import check_growth, check_objects, steps
from gpt2_edge.untrusted import UnreadableError, one_line, parse_json, shown

Result = TypeVar("Result")

# Only files with one of these can make the library panic while it loads. An escaped ASCII letter,
# which no program writes, could hide them.
_TO_BE_PARSED = re.compile(rb'"Regex"|precompiled_charsmap|continuing_subword_prefix"\s*:\s*"[^"]')
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")


def load_tokenizer(content: bytes) -> Tokenizer:
    """The tokenizer that `content`, a tokenizer.json, describes, without truncation and padding.

    Raises UnreadableError for what cannot be used.
    """
    check_objects(content)
    if _TO_BE_PARSED.search(content) or _ESCAPED_LETTER.search(content):
        _check_before_loading(parse_json(content))
    tokenizer: Tokenizer = library_call(lambda: Tokenizer.from_buffer(content))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for part in (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.post_processor):
        _check_parts(part_state(part))
    check_growth(part_state(tokenizer.normalizer))
    check_growth(part_state(tokenizer.decoder))
    return tokenizer


def library_call(call: Callable[[], Result]) -> Result:
    """What `call` returns; whatever the library raises or panics with becomes UnreadableError."""
    try:
        return call()
    except Exception as error:  # the library raises plain Exception
        raise UnreadableError(one_line(str(error)) or type(error).__name__) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise UnreadableError(f"the tokenizers library panics: {one_line(str(error))}") from error


def part_state(part: Any) -> dict[str, Any]:
    """A normalizer, decoder, ... as its object in tokenizer.json; {} for None.

    Raises UnreadableError for one that the library cannot write.
    """
    if part is None:
        return {}
    state = library_call(part.__getstate__)
    value = json.loads(state)
    return value if isinstance(value, dict) else {}


def _check_before_loading(raw: Any) -> None:
    if not isinstance(raw, dict):
        raise UnreadableError("it holds no JSON object")
    normalizer = raw.get("normalizer")
    if isinstance(normalizer, dict):
        _check_nested(normalizer)
    model = raw.get("model")
    if isinstance(model, dict) and model.get("type", "BPE") == "BPE":
        _check_merges(model.get("continuing_subword_prefix"), model.get("merges"))


def _check_nested(part: Any) -> None:
    """`_check_parts` for what the library has not seen, which may be of any shape."""
    if isinstance(part, dict):
        _check_parts(part)
        for value in part.values():
            _check_nested(value)
    elif isinstance(part, list):
        for value in part:
            _check_nested(value)


def _check_parts(part: dict[str, Any]) -> None:
    for step in steps(part):
        pattern = step.get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, dict) else None
        if isinstance(regex, str) and is_risky(regex):
            raise UnreadableError(
                f"its regular expression {shown(regex)} repeats what itself repeats, which can "
                "take for ever on some texts"
            )
        charsmap = step.get("precompiled_charsmap", "")
        if not isinstance(charsmap, str):
            raise UnreadableError(f"its precompiled_charsmap is {shown(charsmap)}; expected text")
        if step.get("type") == "FixedLength" and not step.get("length"):
            raise UnreadableError("its FixedLength has a length of 0")
        if step.get("type") == "TemplateProcessing":
            _check_template(step)


def _check_template(step: dict[str, Any]) -> None:
    known = step.get("special_tokens") or {}
    for side in ("single", "pair"):
        for piece in step.get(side) or ():
            token = piece.get("SpecialToken", {}).get("id")
            if token is not None and token not in known:
                raise UnreadableError(
                    f"its template has {shown(token)}, which is not among its special_tokens"
                )


def _check_merges(prefix: Any, merges: Any) -> None:
    """The library cuts the prefix off the second part of every merge without looking."""
    if not isinstance(prefix, str):
        return
    for merge in merges if isinstance(merges, list) else ():
        parts = merge.split(" ") if isinstance(merge, str) else merge
        second = parts[-1] if isinstance(parts, list) and parts else ""
        if isinstance(second, str) and not second.startswith(prefix):
            raise UnreadableError(
                f"its continuing_subword_prefix is {shown(prefix)}, which the merge "
                f"{shown(merge)} does not have"
            )
