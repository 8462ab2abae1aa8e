"""What tokenizer_config.json and its class change in a tokenizer, but for its tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers, pre_tokenizers

from gpt2_edge.errors import CheckpointError
from gpt2_edge.text.tokenizer_file import load_tokenizer, part_state
from gpt2_edge.untrusted import shown
from gpt2_edge_export.tokenizer.added_tokens import ADDITIONAL, SpecialTokens
from gpt2_edge_export.tokenizer.builders import add_around
from gpt2_edge_export.tokenizer.classes import TokenizerClass
from gpt2_edge_export.tokenizer.clean_up import with_clean_up

SETTINGS_FILE = "tokenizer_config.json"
CLEAN_UP = "clean_up_tokenization_spaces"
PREFIX_SPACE = "add_prefix_space"
_MOST_EXTRA_IDS = 1000


class Settings:
    """The content of the tokenizer_config.json in `folder`, for the class `of_class`."""

    def __init__(self, content: Mapping[str, Any], folder: Path) -> None:
        self._content, self._folder = content, folder
        self._path = folder / SETTINGS_FILE
        self.of_class = TokenizerClass()

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth value; CheckpointError for what is none. null is false."""
        value = self._content.get(name, default)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise CheckpointError(
                f"{self._path} says {name} {shown(value)}; expected true or false"
            )
        return value

    def extra_ids(self) -> list[str]:
        """T5's special tokens of this name that no file lists."""
        count = self._content.get("extra_ids", self.of_class.extra_ids)
        listed = self._content.get(ADDITIONAL) or ()
        if not self.of_class.extra_ids or any("<extra_id_" in str(token) for token in listed):
            return []
        if type(count) is not int or not 0 <= count <= _MOST_EXTRA_IDS:
            raise CheckpointError(
                f"{self._path} says extra_ids {shown(count)}; expected a whole number up to "
                f"{_MOST_EXTRA_IDS}"
            )
        return [f"<extra_id_{number}>" for number in range(count)]

    def apply(self, tokenizer: Tokenizer, tokens: SpecialTokens, built: bool) -> bool:
        """Change `tokenizer` as they say, and return whether its text is cleaned up now.

        built: from files of before tokenizer.json.
        """
        bert = self.of_class.bert
        # null is neither: tokenizer.json says it then.
        if built or self._content.get(PREFIX_SPACE, self.of_class.prefix_space) is not None:
            _set_prefix_space(tokenizer, self.flag(PREFIX_SPACE), self.of_class.deep_prefix)
        if bert:
            self._set_bert_normalizer(tokenizer)
        self._put_around(tokenizer, tokens, built)
        cleans_up = self.flag(CLEAN_UP, built and bert)
        if cleans_up:
            with_clean_up(tokenizer)
        return cleans_up

    def _put_around(self, tokenizer: Tokenizer, tokens: SpecialTokens, built: bool) -> None:
        before = after = None
        if built and self.of_class.bert:
            before, after = tokens.text("cls_token"), tokens.text("sep_token")
        elif built:
            if not self.flag("add_bos_token"):
                return
            before = tokens.text("bos_token")
        elif self.of_class.around is None:
            return
        else:
            bos, eos = self.of_class.around
            before = tokens.text("bos_token") if self.flag("add_bos_token", bos) else None
            after = tokens.text("eos_token") if self.flag("add_eos_token", eos) else None
        add_around(tokenizer, before, after, where=self._folder)

    def _set_bert_normalizer(self, tokenizer: Tokenizer) -> None:
        state = part_state(tokenizer.normalizer)
        if state.get("type") != "BertNormalizer":
            return
        accents = self._content.get("strip_accents")
        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=state["clean_text"],
            handle_chinese_chars=self.flag("tokenize_chinese_chars", True),
            strip_accents=None if accents is None else self.flag("strip_accents"),
            lowercase=self.flag("do_lower_case", True),
        )


def _set_prefix_space(tokenizer: Tokenizer, wanted: bool, deep: bool) -> None:
    # As transformers: a pre-tokenizer in a sequence stays as it is, but for two classes.
    state = part_state(tokenizer.pre_tokenizer)
    steps = state.get("pretokenizers")
    if deep and wanted and steps:
        whole = json.loads(tokenizer.to_str())
        whole["pre_tokenizer"]["pretokenizers"] = [
            step | {PREFIX_SPACE: True} if PREFIX_SPACE in step else step for step in steps
        ]
        tokenizer.pre_tokenizer = load_tokenizer(json.dumps(whole).encode()).pre_tokenizer
    if state.get("type") == "ByteLevel" and state[PREFIX_SPACE] != wanted:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=wanted, use_regex=state["use_regex"]
        )


def has_prefix_space(tokenizer: Tokenizer) -> bool:
    """Whether `tokenizer` puts a space before every text."""
    return bool(part_state(tokenizer.pre_tokenizer).get(PREFIX_SPACE))
