"""The tokenizer of a package: tokenizer.json, whatever form the source has it in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.tokenizer.settings import SETTINGS_FILE
from gpt2_edge_export.tokenizer.source import TOKENIZER_FILE, TokenizerSource, load_file


@dataclass(frozen=True)
class TokenizerFiles:
    """File name -> content of what goes into the package; notes on what it does not say."""

    contents: dict[str, str]
    largest_id: int
    notes: tuple[str, ...] = ()


def read_tokenizer(path: Path, config: GPT2Config) -> TokenizerFiles | None:
    """The tokenizer in the folder `path`, or the tokenizer.json that `path` is.

    Takes tokenizer.json, else a vocabulary with merges, else BERT's vocab.txt; None where a folder
    has none of them. Raises CheckpointError for files that cannot be read, and for a tokenizer of
    another kind.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such tokenizer file or folder")
    if path.is_dir() or path.name == TOKENIZER_FILE:
        source = TokenizerSource(path if path.is_dir() else path.parent)
        tokenizer = source.tokenizer(config)
        if tokenizer is None:
            return None
    else:  # a file of its own: nothing beside it counts
        source = TokenizerSource(path.parent, alone=True)
        tokenizer, source.raw = load_file(path)
    ids = tokenizer.get_vocab(with_added_tokens=True).values()
    if not ids:
        raise CheckpointError(f"{path}: the tokenizer has no tokens")
    settings = source.package_settings(tokenizer, config)
    contents = {
        TOKENIZER_FILE: source.content(tokenizer),
        SETTINGS_FILE: json.dumps(settings, ensure_ascii=False, indent=1) + "\n",
    }
    return TokenizerFiles(contents, max(ids), source.notes())
