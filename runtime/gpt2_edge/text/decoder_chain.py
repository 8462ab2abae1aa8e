"""From the decoder in a tokenizer.json to its steps."""

from __future__ import annotations

from typing import Any

from gpt2_edge.text.decoder_steps import (
    ByteFallback,
    ByteLevel,
    Chain,
    FirstIsOther,
    Fuse,
    LastIsOther,
    Local,
    ReplaceInPieces,
    Step,
    StripInPieces,
    strip,
)

# WordPiece's own list in the library; transformers' has all but one of them.
_WORD_PIECE_CLEAN_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def step_of(state: dict[str, Any], whole: bool) -> Step | None:
    """The step that an object of tokenizer.json describes; None if it has to see all at once.

    whole: whether it gets pieces of one token instead of tokens.
    """
    kind = state.get("type")
    if kind == "Fuse":
        return Fuse()
    if kind == "Replace":
        return _replace(state, whole)
    if kind == "Strip":
        content, start, stop = state["content"], state["start"], state["stop"]
        if whole:
            return StripInPieces(content, start, stop)
        return Local(lambda token: strip(token, content, start, stop))
    if kind == "WordPiece":
        return _word_piece(state["prefix"], state["cleanup"], whole)
    if kind == "Metaspace":
        return _metaspace(state, whole)
    if whole:
        return None
    if kind == "ByteLevel":
        return ByteLevel()
    if kind == "ByteFallback":
        return ByteFallback()
    if kind == "BPEDecoder" and state["suffix"]:
        return LastIsOther(state["suffix"])
    return None


def _replace(state: dict[str, Any], whole: bool) -> Step | None:
    old, new = state["pattern"].get("String"), state["content"]
    if not old:  # a regular expression of another engine than Python's
        return None
    return ReplaceInPieces(old, new) if whole else Local(lambda token: token.replace(old, new))


def _word_piece(prefix: str, cleanup: bool, whole: bool) -> Step:
    if whole:  # a first token, in pieces
        return Chain([ReplaceInPieces(*pair) for pair in _WORD_PIECE_CLEAN_UP] if cleanup else [])

    def clean(token: str) -> str:
        if cleanup and (" " in token):
            for old, new in _WORD_PIECE_CLEAN_UP:
                token = token.replace(old, new)
        return token

    def others(token: str) -> str:
        return clean(token[len(prefix) :] if token.startswith(prefix) else f" {token}")

    return FirstIsOther(clean, others)


def _metaspace(state: dict[str, Any], whole: bool) -> Step:
    mark = state["replacement"]
    at_first = " " if state.get("prepend_scheme") == "never" else ""
    if whole:
        return Local(lambda token: token.replace(mark, at_first))
    return FirstIsOther(
        lambda token: token.replace(mark, at_first), lambda token: token.replace(mark, " ")
    )
