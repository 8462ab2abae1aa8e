"""tokenizer.json of GPT-2's kind; whatever else a file asks for is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpt2_edge.text.byte_level.added_tokens import AddedToken
from gpt2_edge.text.byte_level.around import Around, read_around
from gpt2_edge.text.byte_level.fields import (
    check_text,
    flag,
    kind_of,
    objects,
    token_id,
    unsupported,
    wrong,
)
from gpt2_edge.text.byte_level.merges import Merges
from gpt2_edge.text.tokenizer_parts import check_growth, check_objects
from gpt2_edge.untrusted import UnreadableError, parse_json, shown


@dataclass(frozen=True)
class ByteLevelFile:
    """What a tokenizer.json says. decoder: its object there.

    unknown: the id of what the vocabulary lacks, if there is one; fuse_unknown: one for several.
    ignore_merges: a word that is a token as it stands is not taken apart.
    """

    vocabulary: Mapping[str, int]
    merges: Merges
    added: tuple[AddedToken, ...]
    around: Around
    decoder: dict[str, Any]
    unknown: int | None
    fuse_unknown: bool
    ignore_merges: bool
    add_prefix_space: bool
    split_words: bool


def read_file(content: bytes) -> ByteLevelFile:
    """From the bytes of tokenizer.json. Raises UnreadableError."""
    check_objects(content)
    raw = parse_json(content)
    if not isinstance(raw, dict):
        raise UnreadableError("it holds no JSON object")
    for step in objects(raw.get("normalizer"), "normalizers", "normalizer"):
        raise unsupported(f"the normalizer {kind_of(step)}")
    model = raw.get("model")
    if not isinstance(model, dict):
        raise wrong("model", model)
    _check_model(model)
    vocabulary = _vocabulary(model.get("vocab"))
    first = _pre_tokenizer(raw.get("pre_tokenizer"))
    unknown = model.get("unk_token")
    if unknown is not None and (not isinstance(unknown, str) or unknown not in vocabulary):
        raise UnreadableError(f"its unk_token {shown(unknown)} is not in the vocabulary")
    return ByteLevelFile(
        vocabulary=vocabulary,
        merges=_merges(model.get("merges"), vocabulary),
        added=_added_tokens(raw.get("added_tokens"), vocabulary),
        around=read_around(raw.get("post_processor")),
        decoder=_decoder(raw.get("decoder")),
        unknown=None if unknown is None else vocabulary[unknown],
        fuse_unknown=flag(model, "fuse_unk"),
        ignore_merges=flag(model, "ignore_merges"),
        add_prefix_space=flag(first, "add_prefix_space", True),
        split_words=flag(first, "use_regex", True),
    )


def _check_model(model: Mapping[str, Any]) -> None:
    # Files of early versions have no type; only BPE has merges.
    if model.get("type", "BPE" if "merges" in model else None) != "BPE":
        raise unsupported(f"the model {kind_of(model)}")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise unsupported(f"the {name} {shown(model[name])}")
    if flag(model, "byte_fallback"):
        raise unsupported("byte_fallback")


def _pre_tokenizer(part: Any) -> dict[str, Any]:
    found = objects(part, "pretokenizers", "pre_tokenizer")
    if len(found) != 1:
        raise unsupported(f"a pre_tokenizer of {len(found)} parts")
    if found[0].get("type") != "ByteLevel":
        raise unsupported(f"the pre_tokenizer {kind_of(found[0])}")
    return found[0]


def _vocabulary(raw: Any) -> dict[str, int]:
    if not isinstance(raw, dict):
        raise wrong("model.vocab", raw)
    for token, number in raw.items():
        token_id(number, f"the id of {shown(token)}")
    check_text("".join(raw), "its vocabulary")
    if len(set(raw.values())) < len(raw):
        raise UnreadableError("two tokens of its vocabulary have one id")
    return raw


def _merges(raw: Any, vocabulary: Mapping[str, int]) -> Merges:
    if not isinstance(raw, list):
        raise wrong("model.merges", raw)
    lines = [merge for merge in raw if not (isinstance(merge, str) and merge[:8] == "#version")]
    of_pair: dict[int, int] = {}
    for rank, merge in enumerate(lines):
        # "left right", as it was first, or ["left", "right"], which allows spaces in tokens.
        pair = merge.split(" ") if isinstance(merge, str) else merge
        try:
            left, right = pair
            merged = vocabulary[left + right]
            of_pair[vocabulary[left] << 32 | vocabulary[right]] = rank << 32 | merged
        except (TypeError, ValueError):
            raise wrong(f"model.merges[{rank}]", merge) from None
        except KeyError:
            raise UnreadableError(
                f"the merge {shown(merge)} has tokens that are not in the vocabulary"
            ) from None
    return Merges(of_pair)


def _added_tokens(raw: Any, vocabulary: Mapping[str, int]) -> tuple[AddedToken, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise wrong("added_tokens", raw)
    found: dict[str, AddedToken] = {}
    free = len(vocabulary)
    for number, each in enumerate(raw):
        token = _added_token(each, f"added_tokens[{number}]")
        if not token.content:
            continue
        if token.content in found:
            raise UnreadableError(f"its added token {shown(token.content)} stands there twice")
        # The library gives this id, whatever the file says.
        if token.id != vocabulary.get(token.content, free):
            raise UnreadableError(
                f"its added token {shown(token.content)} has the id {token.id}, not the "
                f"vocabulary's or the next free one, {vocabulary.get(token.content, free)}"
            )
        found[token.content] = token
        free = max(free, token.id + 1)
    return tuple(found.values())


def _added_token(raw: Any, where: str) -> AddedToken:
    if not isinstance(raw, dict) or not isinstance(raw.get("content"), str):
        raise wrong(where, raw)
    check_text(raw["content"], f"{where}.content")
    special = flag(raw, "special")
    return AddedToken(
        id=token_id(raw.get("id"), f"{where}.id"),
        content=raw["content"],
        special=special,
        lstrip=flag(raw, "lstrip"),
        rstrip=flag(raw, "rstrip"),
        single_word=flag(raw, "single_word"),
        normalized=flag(raw, "normalized", not special),
    )


def _decoder(raw: Any) -> dict[str, Any]:
    """ByteLevel, alone or with steps behind it that replace text."""
    found: Sequence[dict[str, Any]] = objects(raw, "decoders", "decoder")
    if not found or found[0].get("type") != "ByteLevel":
        raise unsupported(f"the decoder {kind_of(found[0]) if found else None}")
    for step in found[1:]:
        kind, pattern = step.get("type"), step.get("pattern")
        text = pattern.get("String") if isinstance(pattern, dict) else None
        replaces = kind == "Replace" and isinstance(step.get("content"), str)
        if kind != "Fuse" and not (replaces and isinstance(text, str) and text):
            raise unsupported(f"the decoder {kind_of(step)}, not of a plain text,")
        check_text(f"{text or ''}{step.get('content', '')}", "its decoder")
    if raw["type"] == "ByteLevel":
        return {"type": "ByteLevel"}
    decoder = {"type": "Sequence", "decoders": list(found)}
    check_growth(decoder)
    return decoder
