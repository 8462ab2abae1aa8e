"""The tokenizer files of a folder, and what transformers' AutoTokenizer makes of them.

The ids and the decoded text are AutoTokenizer's on the same folder (docs/TOKENIZERS.md); what it
reads from the files beside tokenizer.json is written into it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

from gpt2_edge.errors import CheckpointError
from gpt2_edge.text.tokenizer_file import load_tokenizer, part_state
from gpt2_edge.untrusted import (
    JSON_LIMIT,
    TOKENIZER_LIMIT,
    UnreadableError,
    parse_json,
    read_bytes,
    read_text_file,
    shown,
)
from gpt2_edge_export.checkpoint.config import GPT2Config, read_json
from gpt2_edge_export.tokenizer.added_tokens import NAMES, SpecialTokens, add, collect
from gpt2_edge_export.tokenizer.builders import (
    PAIRS,
    WORD_PIECE_FILE,
    add_around,
    byte_level_bpe,
    other_tokenizer,
    word_piece,
)
from gpt2_edge_export.tokenizer.clean_up import with_clean_up

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "tokenizer_config.json"
_TEMPLATE_FILE, _TEMPLATE = "chat_template.jinja", "chat_template"
_END_OF_TEXT = "<|endoftext|>"
_CLEAN_UP = "clean_up_tokenization_spaces"
# The special tokens that transformers' classes have where no file names any.
_GPT2 = dict.fromkeys(("bos_token", "eos_token", "unk_token"), _END_OF_TEXT)
_BERT = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_DEFAULTS = {"GPT2Tokenizer": _GPT2, "CodeGenTokenizer": _GPT2, "BertTokenizer": _BERT}
_GENERIC = ("PreTrainedTokenizer", "TokenizersBackend")
_COMPACT: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":")}


class TokenizerSource:
    """The files of a folder, and what AutoTokenizer makes of them."""

    def __init__(self, folder: Path, alone: bool = False) -> None:
        self.folder = folder
        self.raw: dict[str, Any] | None = None  # tokenizer.json's content, if there is one
        self.settings = {} if alone else self._optional(SETTINGS_FILE) or {}
        self._has_settings = bool(self.settings)
        legacy = not alone and "added_tokens_decoder" not in self.settings
        self._special_map = (self._optional("special_tokens_map.json") or {}) if legacy else {}
        self._tokens = SpecialTokens()
        self._kind = "GPT2Tokenizer"
        self._cleans_up = False

    def tokenizer(self, config: GPT2Config) -> Tokenizer | None:
        """The tokenizer with everything that the files beside it say; None if there is none."""
        built = self._read()
        if built is None:
            return None
        if not built.get_vocab():
            raise CheckpointError(f"{self._file()}: the tokenizer has no tokens")
        in_file = (self.raw or {}).get("added_tokens") or []
        self._tokens = collect(
            self.folder,
            self.settings,
            self._special_map,
            self._optional("added_tokens.json"),
            in_file,
        )
        for token in in_file:
            got = built.token_to_id(token["content"])
            if got != token["id"]:
                raise CheckpointError(
                    f"{self.folder / TOKENIZER_FILE} gives {shown(token['content'])} the id "
                    f"{shown(token['id'])}; behind its vocabulary it would be {got}"
                )
        optional = self._add_defaults()
        if self.raw is None and self._kind != "BertTokenizer":
            # The class of before makes them so, and they replace what the other files say.
            for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
                text = self._tokens.named.get(name)
                if isinstance(text, str):
                    self._tokens.named[name] = AddedToken(text)
        add(built, self._tokens, self.folder, optional, limit=config.vocab_size)
        self._apply(built)
        return built

    def content(self, tokenizer: Tokenizer) -> str:
        """tokenizer.json, unchanged where nothing had to be written into it."""
        whole = json.loads(tokenizer.to_str())
        if self.raw is not None:
            plain = json.loads(load_tokenizer(json.dumps(self.raw).encode()).to_str())
            whole = self.raw if whole == plain else whole
        return json.dumps(whole, **_COMPACT)

    def package_settings(self, tokenizer: Tokenizer, config: GPT2Config) -> dict[str, Any]:
        """tokenizer_config.json: the source's, or the least that transformers needs."""
        if not self._has_settings:
            return self._least(tokenizer, config)
        settings = dict(self.settings)
        for name in NAMES:  # a package has no special_tokens_map.json
            if name in self._special_map:
                settings[name] = self._tokens.text(name)
        if self._cleans_up:
            settings[_CLEAN_UP] = False
        if (template := self._chat_template()) is not None:
            settings[_TEMPLATE] = template
        return settings

    def _chat_template(self) -> str | None:
        """What newer transformers write beside the settings; it wins over what is in them."""
        file = self.folder / _TEMPLATE_FILE
        if not self._has_settings or not file.is_file():
            return None
        try:
            return read_text_file(file, JSON_LIMIT)
        except UnreadableError as error:
            raise CheckpointError(f"{file} cannot be read: {error}") from error

    def notes(self) -> tuple[str, ...]:
        if self.settings.get("split_special_tokens") is True:
            return (
                f"{self.folder / SETTINGS_FILE} says split_special_tokens, which tokenizer.json "
                "cannot: encode(text, parse_special=False) does it",
            )
        return ()

    def _read(self) -> Tokenizer | None:
        self._kind = self._class_name()
        file = self.folder / TOKENIZER_FILE
        if file.is_file():
            tokenizer, self.raw = load_file(file)
            return tokenizer
        for vocabulary, merges in PAIRS:
            if (self.folder / vocabulary).is_file() and (self.folder / merges).is_file():
                self._check_class("GPT2Tokenizer", vocabulary)
                return byte_level_bpe(
                    self.folder / vocabulary, self.folder / merges, self._flag("add_prefix_space")
                )
        if (self.folder / WORD_PIECE_FILE).is_file():
            self._check_class("BertTokenizer", WORD_PIECE_FILE)
            unk = self._named_in_settings("unk_token") or _BERT["unk_token"]
            return word_piece(self.folder / WORD_PIECE_FILE, unk)
        other = other_tokenizer(self.folder)
        if other is not None:
            raise CheckpointError(
                f"{other} is a tokenizer of a kind that is not read here; write a tokenizer.json "
                "with transformers (AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER), "
                "which may need sentencepiece or tiktoken), or give --no-tokenizer"
            )
        return None

    def _class_name(self) -> str:
        """The class that AutoTokenizer takes, without Fast: GPT-2's where no file names one."""
        name = self.settings.get("tokenizer_class")
        if name is None:
            name = (self._optional("config.json") or {}).get("tokenizer_class")
        if name is None:
            pair = any((self.folder / vocabulary).is_file() for vocabulary, _ in PAIRS)
            bert = not pair and (self.folder / WORD_PIECE_FILE).is_file()
            bert = bert and not (self.folder / TOKENIZER_FILE).is_file()
            return "BertTokenizer" if bert else "GPT2Tokenizer"
        if not isinstance(name, str):
            raise CheckpointError(f"{self.folder} says tokenizer_class {shown(name)}")
        return name.removesuffix("Fast")

    def _check_class(self, wanted: str, file: str) -> None:
        """Refuse to take the files of a class that reads them in another way."""
        alike = {wanted, *_GENERIC}
        if wanted == "GPT2Tokenizer":
            alike.add("CodeGenTokenizer")
        if self._kind not in alike:
            raise CheckpointError(
                f"{self.folder} has {file} and tokenizer_class {shown(self._kind)}, which is not "
                "built here; write a tokenizer.json with transformers "
                "(AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER))"
            )
        if self._kind in _GENERIC:
            self._kind = wanted

    def _add_defaults(self) -> set[str]:
        """Name the tokens that no file does, and return their texts.

        transformers gives them ids even behind the model's vocabulary, where no text can use them.
        """
        named = {token for name in NAMES if (token := self._tokens.text(name)) is not None}
        defaults = set()
        for name, text in _DEFAULTS.get(self._kind, {}).items():
            if name not in self.settings and name not in self._special_map:
                self._tokens.named[name] = text
                defaults.add(text)
        return defaults - named

    def _apply(self, tokenizer: Tokenizer) -> None:
        """Everything but tokens that tokenizer_config.json changes."""
        built = self.raw is None
        _set_prefix_space(tokenizer, self._flag("add_prefix_space"))
        if self._kind == "BertTokenizer":
            self._set_bert_normalizer(tokenizer)
            if built:
                ends = self._tokens.text("cls_token"), self._tokens.text("sep_token")
                add_around(tokenizer, *ends, where=self.folder)
        elif built and self._flag("add_bos_token"):
            add_around(tokenizer, self._tokens.text("bos_token"), None, where=self.folder)
        self._cleans_up = self._flag(_CLEAN_UP, built and self._kind == "BertTokenizer")
        if self._cleans_up:
            with_clean_up(tokenizer)

    def _set_bert_normalizer(self, tokenizer: Tokenizer) -> None:
        state = part_state(tokenizer.normalizer)
        if state.get("type") != "BertNormalizer":
            return
        accents = self.settings.get("strip_accents")
        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=state["clean_text"],
            handle_chinese_chars=self._flag("tokenize_chinese_chars", True),
            strip_accents=None if accents is None else self._flag("strip_accents"),
            lowercase=self._flag("do_lower_case", True),
        )

    def _flag(self, name: str, default: bool = False) -> bool:
        value = self.settings.get(name, default)
        if value is None:
            return False
        if not isinstance(value, bool):
            path = self.folder / SETTINGS_FILE
            raise CheckpointError(f"{path} says {name} {shown(value)}; expected true or false")
        return value

    def _named_in_settings(self, name: str) -> str | None:
        tokens = collect(self.folder, self.settings, self._special_map, None, ())
        return tokens.text(name)

    def _least(self, tokenizer: Tokenizer, config: GPT2Config) -> dict[str, Any]:
        def text(token_id: int | None) -> str | None:
            return None if token_id is None else tokenizer.id_to_token(token_id)

        least: dict[str, Any] = {"tokenizer_class": f"{self._kind}"}
        if self._kind == "BertTokenizer":
            special: dict[str, str | None] = {name: self._tokens.text(name) for name in _BERT}
            if self._cleans_up:
                least[_CLEAN_UP] = False
        else:
            eos = text(config.eos_token_ids[0] if config.eos_token_ids else None)
            bos = text(config.bos_token_id) or eos
            special = {"bos_token": bos, "eos_token": eos, "unk_token": eos}
            special |= {name: self._tokens.text(name) for name in NAMES if name not in special}
            least["add_prefix_space"] = _has_prefix_space(tokenizer)
        least |= {"model_max_length": config.n_positions}
        return least | {name: value for name, value in special.items() if value is not None}

    def _file(self) -> Path:
        file = self.folder / TOKENIZER_FILE
        return file if file.is_file() else self.folder

    def _optional(self, name: str) -> dict[str, Any] | None:
        path = self.folder / name
        return read_json(path) if path.is_file() else None


def load_file(file: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """A tokenizer.json and its content; CheckpointError where it is none."""
    try:
        content = read_bytes(file, TOKENIZER_LIMIT)
        raw = parse_json(content)
        if not isinstance(raw, dict):
            raise UnreadableError("it holds no JSON object")
        return load_tokenizer(content), raw
    except (FileNotFoundError, UnreadableError) as error:
        raise CheckpointError(f"{file} is no tokenizer.json: {error}") from error


def _set_prefix_space(tokenizer: Tokenizer, wanted: bool) -> None:
    # As transformers: a pre-tokenizer in a sequence stays as it is.
    state = part_state(tokenizer.pre_tokenizer)
    if state.get("type") == "ByteLevel" and state["add_prefix_space"] != wanted:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=wanted, use_regex=state["use_regex"]
        )


def _has_prefix_space(tokenizer: Tokenizer) -> bool:
    return bool(part_state(tokenizer.pre_tokenizer).get("add_prefix_space"))
