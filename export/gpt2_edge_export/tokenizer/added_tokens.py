"""Added and special tokens as transformers collects them from the files beside a vocabulary.

What is written here follows `PreTrainedTokenizerBase._from_pretrained` and
`PreTrainedTokenizerFast.__init__` of transformers 4.57; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from gpt2_edge.errors import CheckpointError
from gpt2_edge.text.tokenizer_file import library_call
from gpt2_edge.untrusted import UnreadableError, shown

# In the order in which transformers adds those that the vocabulary lacks.
NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
ADDITIONAL = "additional_special_tokens"
EXTRA = "extra_special_tokens"
_MOST_TOKENS = 10_000
_SETTINGS = "tokenizer_config.json"
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass
class SpecialTokens:
    """added: id -> token. named: bos_token, ... -> token. unnamed: special tokens of no role.

    A token is an AddedToken where a file says more than its text.
    """

    added: dict[int, AddedToken] = field(default_factory=dict)
    named: dict[str, AddedToken | str] = field(default_factory=dict)
    unnamed: list[AddedToken | str] = field(default_factory=list)

    def text(self, name: str) -> str | None:
        """What is in the text for the token of this role."""
        token = self.named.get(name)
        return None if token is None else _text(token)


def collect(
    where: Path,
    settings: Mapping[str, Any],
    special_tokens_map: Mapping[str, Any] | None,
    added_tokens: Mapping[str, Any] | None,
    in_tokenizer_json: Sequence[Mapping[str, Any]],
) -> SpecialTokens:
    """The tokens in the files of the folder `where`; raises CheckpointError for odd ones.

    settings: tokenizer_config.json. With an added_tokens_decoder in it, special_tokens_map.json and
    added_tokens.json do not count.
    """
    config = where / _SETTINGS
    tokens = SpecialTokens()
    found = {name: settings[name] for name in (*NAMES, ADDITIONAL) if name in settings}
    decoder = settings.get("added_tokens_decoder")
    if "added_tokens_decoder" in settings:
        if not isinstance(decoder, dict):
            raise CheckpointError(f"{config} says added_tokens_decoder {shown(decoder)}")
        for key, value in decoder.items():
            digits = key.isascii() and key.isdigit() and len(key) < 10
            tokens.added[_id(config, int(key) if digits else key)] = _added(config, value)
    else:
        _read_map(where / "special_tokens_map.json", special_tokens_map or {}, found)
        special = {_text(token) for token in _all(config, found)}
        for text, token_id in (added_tokens or {}).items():
            known = text in special
            tokens.added[_id(where / "added_tokens.json", token_id)] = AddedToken(
                text, normalized=not known, special=known
            )
        for item in in_tokenizer_json:
            tokens.added[_id(where / "tokenizer.json", item.get("id"))] = _added(config, item)
    by_text = {_text(token): token for token in tokens.added.values()}
    if "added_tokens_decoder" not in settings:  # those of added_tokens.json are not looked up
        for text in added_tokens or ():
            by_text.pop(text, None)
    for name in NAMES:
        if found.get(name) is not None:
            token = _token(config, found[name])
            tokens.named[name] = by_text.get(_text(token), token)
    tokens.unnamed = _list(config, found.get(ADDITIONAL), special=False)
    extra = settings.get(EXTRA)
    values = list(extra.values()) if isinstance(extra, dict) else extra
    tokens.unnamed += _list(config, values, special=False)
    if len(tokens.added) + len(tokens.unnamed) > _MOST_TOKENS:
        raise CheckpointError(f"{config} has more than {_MOST_TOKENS:,} added tokens")
    return tokens


def add(
    tokenizer: Tokenizer, tokens: SpecialTokens, where: Path, optional: set[str], limit: int
) -> None:
    """Add `tokens` to `tokenizer`, each under the id that its file gives it.

    optional: texts that are left out where they would get an id of `limit` or more. Raises
    CheckpointError, naming the folder `where`, for an id that a token would not get.
    """
    there = tokenizer.get_added_tokens_decoder().values()
    named = [tokens.named[name] for name in NAMES if name in tokens.named]
    special = [*named, *tokens.unnamed]
    special_texts = {_text(token) for token in special}
    # The library never forgets that a token is special, and would not write it down.
    special_texts |= {token.content for token in there if token.special}
    same = {repr(token) for token in there if token.special or token.content not in special_texts}
    wanted: list[AddedToken] = [
        token for _, token in sorted(tokens.added.items()) if repr(token) not in same
    ]
    texts = {token.content for token in (*there, *wanted)}
    next_id = tokenizer.get_vocab_size()
    next_id += sum(tokenizer.token_to_id(token.content) is None for token in wanted)
    seen: set[str] = set()
    for token in special:
        text = _text(token)
        if text in seen or (isinstance(token, str) and text in texts):
            continue
        seen.add(text)
        if text not in texts and tokenizer.token_to_id(text) is None:
            if text in optional and next_id >= limit:
                continue
            next_id += 1
        wanted.append(AddedToken(token, special=True) if isinstance(token, str) else token)
    for token in wanted:
        token.special = token.special or token.content in special_texts
    if wanted:
        try:
            library_call(lambda: tokenizer.add_tokens(wanted))
        except UnreadableError as error:
            raise CheckpointError(f"the added tokens of {where} cannot be used: {error}") from error
    for token_id, added in sorted(tokens.added.items()):
        got = tokenizer.token_to_id(added.content)
        if added.content and got != token_id:
            raise CheckpointError(
                f"{where} (added_tokens.json or {_SETTINGS}) gives {shown(added.content)} "
                f"the id {token_id}; behind the vocabulary beside it, it would be {got}"
            )


def _read_map(path: Path, content: Mapping[str, Any], found: dict[str, Any]) -> None:
    """special_tokens_map.json: each of its entries wins over tokenizer_config.json's."""
    for name, value in content.items():
        if name == ADDITIONAL:
            before = _list(path, found.get(ADDITIONAL), special=False)
            texts = {_text(token) for token in before}
            more = _list(path, value, special=True)
            found[name] = [*before, *(token for token in more if _text(token) not in texts)]
        elif name in NAMES:
            found[name] = _added(path, value, special=True) if isinstance(value, dict) else value


def _all(where: Path, found: Mapping[str, Any]) -> list[AddedToken | str]:
    named = [_token(where, found[name]) for name in NAMES if found.get(name) is not None]
    return [*named, *_list(where, found.get(ADDITIONAL), special=False)]


def _list(where: Path, values: Any, special: bool) -> list[AddedToken | str]:
    if values is None:
        return []
    if not isinstance(values, list):
        raise CheckpointError(f"{where} has special tokens {shown(values)}; expected a list")
    return [_token(where, value, special) for value in values]


def _token(where: Path, value: Any, special: bool = False) -> AddedToken | str:
    if isinstance(value, (str, AddedToken)):
        return value
    return _added(where, value, special)


def _added(where: Path, value: Any, special: bool | None = None) -> AddedToken:
    """An AddedToken from its object in a file."""
    content = value.get("content") if isinstance(value, dict) else None
    flags = {name: value[name] for name in _FLAGS if name in value} if content is not None else {}
    if special:
        flags["special"] = True
    if not isinstance(content, str) or not all(isinstance(flag, bool) for flag in flags.values()):
        raise CheckpointError(
            f"{where} has the token {shown(value)}; expected an object with content and flags"
        )
    return AddedToken(content, **flags)


def _id(where: Path, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise CheckpointError(f"{where} holds the id {shown(value)}; expected a whole number")
    return value


def _text(token: AddedToken | str) -> str:
    return token if isinstance(token, str) else str(token.content)
