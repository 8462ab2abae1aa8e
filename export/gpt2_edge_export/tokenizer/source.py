"""The tokenizer files of a folder, and what transformers' AutoTokenizer makes of them.

The ids and the decoded text are AutoTokenizer's on the same folder (docs/TOKENIZERS.md); what it
reads from the files beside tokenizer.json is written into it.
"""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from gpt2_edge.errors import CheckpointError
from gpt2_edge.text.tokenizer_file import load_tokenizer
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
    byte_level_bpe,
    other_tokenizer,
    word_piece,
)
from gpt2_edge_export.tokenizer.classes import CLASSES, TokenizerClass
from gpt2_edge_export.tokenizer.settings import (
    CLEAN_UP,
    PREFIX_SPACE,
    SETTINGS_FILE,
    Settings,
    has_prefix_space,
)

TOKENIZER_FILE = "tokenizer.json"
_TEMPLATE_FILE, _TEMPLATE = "chat_template.jinja", "chat_template"
_USUAL = ("GPT2Tokenizer", "BertTokenizer")
_GENERIC = ("PreTrainedTokenizer", "TokenizersBackend")
# What the class of before tokenizer.json makes AddedTokens of.
_OLD_GPT2_OBJECTS: dict[str, dict[str, bool]] = {
    name: {} for name in ("bos_token", "eos_token", "unk_token", "pad_token")
}
# Classes that read BERT's vocab.txt as BertTokenizer does.
_WORD_PIECES = {
    "BertTokenizer",
    "ConvBertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "LxmertTokenizer",
    "MobileBertTokenizer",
    "SqueezeBertTokenizer",
}
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
        self._flags = Settings(self.settings, folder)
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
        objects = self._flags.of_class.objects
        if self.raw is None and not self._flags.of_class.bert:
            objects = _OLD_GPT2_OBJECTS
        for name, flags in objects.items():  # they replace what the other files say
            text = self._tokens.named.get(name)
            if isinstance(text, str):
                self._tokens.named[name] = AddedToken(text, **flags)
        add(built, self._tokens, self.folder, optional, limit=config.vocab_size)
        self._cleans_up = self._flags.apply(built, self._tokens, self.raw is None)
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
        for name in NAMES:  # a package has no special_tokens_map.json, and no class's defaults
            text = self._tokens.text(name)
            has = text is not None and tokenizer.token_to_id(text) is not None
            if name in self._special_map or (name not in settings and has):
                settings[name] = text
        if self._cleans_up:
            settings[CLEAN_UP] = False
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
        file, notes = self.folder / SETTINGS_FILE, []
        if self.settings.get("split_special_tokens") is True:
            notes.append(
                f"{file} says split_special_tokens, which tokenizer.json "
                "cannot: encode(text, parse_special=False) does it"
            )
        versions = self.settings.get("fast_tokenizer_files")
        if self.raw is not None and versions not in (None, [], [TOKENIZER_FILE]):
            notes.append(
                f"{file} says fast_tokenizer_files {shown(versions)}, of which transformers takes "
                f"the one of its version; {TOKENIZER_FILE} is read"
            )
        if self._kind not in CLASSES:
            notes.append(
                f"{self.folder} says tokenizer_class {shown(self._kind)}, a class that is not "
                "known here: tokenizer.json is read as it is, and transformers' ids may differ"
            )
        return tuple(notes)

    def _read(self) -> Tokenizer | None:
        self._kind = self._class_name()
        tokenizer = self._read_files()
        self._flags.of_class = CLASSES.get(self._kind, TokenizerClass())
        return tokenizer

    def _read_files(self) -> Tokenizer | None:
        file = self.folder / TOKENIZER_FILE
        if file.is_file():
            tokenizer, self.raw = load_file(file)
            return tokenizer
        for vocabulary, merges in PAIRS:
            if (self.folder / vocabulary).is_file() and (self.folder / merges).is_file():
                self._check_class({"GPT2Tokenizer", "CodeGenTokenizer"}, vocabulary)
                return byte_level_bpe(
                    self.folder / vocabulary, self.folder / merges, self._flags.flag(PREFIX_SPACE)
                )
        if (self.folder / WORD_PIECE_FILE).is_file():
            self._check_class(_WORD_PIECES, WORD_PIECE_FILE)
            unk = self._named_in_settings("unk_token") or CLASSES[self._kind].named["unk_token"]
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

    def _check_class(self, alike: Set[str], file: str) -> None:
        """Refuse to take the files of a class that reads them in another way than those `alike`."""
        if self._kind in _GENERIC:
            self._kind = next(name for name in _USUAL if name in alike)
        if self._kind not in alike:
            raise CheckpointError(
                f"{self.folder} has {file} and tokenizer_class {shown(self._kind)}, which is not "
                "built here; write a tokenizer.json with transformers "
                "(AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER))"
            )

    def _add_defaults(self) -> set[str]:
        """Name the tokens that no file does, and return their texts.

        transformers gives them ids even behind the model's vocabulary, where no text can use them.
        """
        named = {token for name in NAMES if (token := self._tokens.text(name)) is not None}
        defaults = set()
        for name, text in self._flags.of_class.named.items():
            if name not in self.settings and name not in self._special_map:
                self._tokens.named[name] = text
                defaults.add(text)
        extra = self._flags.extra_ids()
        self._tokens.unnamed += extra
        defaults |= set(extra)
        padding = (self.raw or {}).get("padding")
        pad = padding.get("pad_token") if isinstance(padding, dict) else None
        known = self.settings.keys() | self._special_map.keys() | self._flags.of_class.named.keys()
        if isinstance(pad, str) and "pad_token" not in known:
            self._tokens.named["pad_token"] = pad
            defaults.add(pad)
        return defaults - named

    def _named_in_settings(self, name: str) -> str | None:
        tokens = collect(self.folder, self.settings, self._special_map, None, ())
        return tokens.text(name)

    def _least(self, tokenizer: Tokenizer, config: GPT2Config) -> dict[str, Any]:
        def text(token_id: int | None) -> str | None:
            return None if token_id is None else tokenizer.id_to_token(token_id)

        least: dict[str, Any] = {"tokenizer_class": f"{self._kind}"}
        if self._flags.of_class.bert:
            roles = self._flags.of_class.named
            special: dict[str, str | None] = {name: self._tokens.text(name) for name in roles}
            if self._cleans_up:
                least[CLEAN_UP] = False
        else:
            eos = text(config.eos_token_ids[0] if config.eos_token_ids else None)
            bos = text(config.bos_token_id) or eos
            special = {"bos_token": bos, "eos_token": eos, "unk_token": eos}
            special |= {name: self._tokens.text(name) for name in NAMES if name not in special}
            least[PREFIX_SPACE] = has_prefix_space(tokenizer)
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
