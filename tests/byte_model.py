"""A tiny random GPT-2 that reads bytes: any text can be fed to it, and an export takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from helpers import random_config, write_random_checkpoint

VOCABULARY = 257  # every byte, and <|endoftext|>


def write_byte_checkpoint(folder: Path, seed: int = 0, **overrides: Any) -> Path:
    """A Hugging Face folder of random weights with a tokenizer of single bytes."""
    config = {"vocab_size": VOCABULARY, "bos_token_id": 256, "eos_token_id": 256} | overrides
    write_random_checkpoint(folder, random_config(**config), seed)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({byte: i for i, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
