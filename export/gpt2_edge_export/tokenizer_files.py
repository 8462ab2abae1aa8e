"""The tokenizer of a package: tokenizer.json, whatever form the source has it in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import TOKENIZER_LIMIT
from gpt2_edge_export.config import GPT2Config, read_json

TOKENIZER_FILE = "tokenizer.json"
# vocabulary and merges, as transformers and as OpenAI's release call them
_PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
_END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class TokenizerFiles:
    """File name -> content of what goes into the package."""

    contents: dict[str, str]
    largest_id: int


def read_tokenizer(path: Path, config: GPT2Config) -> TokenizerFiles | None:
    """The tokenizer in the folder `path`, or the tokenizer.json that `path` is.

    Takes tokenizer.json, else a vocabulary with merges; None where a folder has neither. Raises
    CheckpointError for files that cannot be read.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such tokenizer file or folder")
    folder = path.parent if path.is_file() else path
    file = path if path.is_file() else folder / TOKENIZER_FILE
    if file.is_file():
        raw = read_json(file, TOKENIZER_LIMIT)
        try:
            tokenizer = Tokenizer.from_str(json.dumps(raw))
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(f"{file} is no tokenizer.json: {error}") from error
    else:
        built = _build(folder)
        if built is None:
            return None
        tokenizer, raw = built, json.loads(built.to_str())
    ids = tokenizer.get_vocab(with_added_tokens=True).values()
    if not ids:
        raise CheckpointError(f"{file if file.is_file() else folder}: the tokenizer has no tokens")
    settings = _settings(folder, tokenizer, config)
    contents = {
        TOKENIZER_FILE: json.dumps(raw, ensure_ascii=False, separators=(",", ":")),
        "tokenizer_config.json": json.dumps(settings, ensure_ascii=False, indent=1) + "\n",
    }
    return TokenizerFiles(contents, max(ids))


def _build(folder: Path) -> Tokenizer | None:
    """GPT-2's byte-level BPE from a vocabulary and its merges."""
    for vocabulary_name, merges_name in _PAIRS:
        vocabulary, merges = folder / vocabulary_name, folder / merges_name
        if vocabulary.is_file() and merges.is_file():
            break
    else:
        return None
    try:
        tokenizer = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    except Exception as error:  # the library raises plain Exception
        raise CheckpointError(f"{vocabulary} and {merges} are no BPE: {error}") from error
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if tokenizer.token_to_id(_END_OF_TEXT) is not None:
        tokenizer.add_special_tokens([AddedToken(_END_OF_TEXT, special=True, normalized=False)])
    added = folder / "added_tokens.json"
    if added.is_file():
        _add_tokens(tokenizer, added)
    return tokenizer


def _add_tokens(tokenizer: Tokenizer, path: Path) -> None:
    """Add the tokens in added_tokens.json, each under the id that it has there."""
    tokens = read_json(path)
    if not all(isinstance(token_id, int) for token_id in tokens.values()):
        raise CheckpointError(f"{path} holds ids that are no whole numbers")
    for text, token_id in sorted(tokens.items(), key=lambda item: item[1]):
        if tokenizer.token_to_id(text) is None:
            tokenizer.add_tokens([AddedToken(text, normalized=False)])
        if tokenizer.token_to_id(text) != token_id:
            raise CheckpointError(
                f"{path} gives {text!r} the id {token_id}; behind the vocabulary beside it, it "
                f"would be {tokenizer.token_to_id(text)}"
            )


def _settings(folder: Path, tokenizer: Tokenizer, config: GPT2Config) -> dict[str, Any]:
    """tokenizer_config.json: the source's, or the least that transformers needs."""
    path = folder / "tokenizer_config.json"
    if path.is_file():
        return read_json(path)

    def text(token_id: int | None) -> str | None:
        return None if token_id is None else tokenizer.id_to_token(token_id)

    eos = text(config.eos_token_ids[0] if config.eos_token_ids else None)
    bos = text(config.bos_token_id) or eos
    special = {"bos_token": bos, "eos_token": eos, "unk_token": eos}
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "model_max_length": config.n_positions,
    } | {key: value for key, value in special.items() if value is not None}
