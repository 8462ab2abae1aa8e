"""Write a tokenizer for checkpoints of random weights: as many tokens as asked, all of them ASCII.

Every token of it is text, so what a server turns into text and sends is as long as with a real one.
"""

from __future__ import annotations

import itertools
import json
import string
from pathlib import Path
from typing import Any

END = "<|endoftext|>"
_CHARACTERS = f"Ġ{string.ascii_letters}{string.digits}{string.punctuation}"  # Ġ is the space


def vocabulary(size: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens and merges: bytes, then pairs of characters, then three of them, then the end."""
    tokens = _byte_alphabet()
    merges: list[tuple[str, str]] = []
    words = [
        *itertools.product(_CHARACTERS, _CHARACTERS),
        *((a + b, c) for a, b, c in itertools.product(_CHARACTERS, repeat=3)),
    ]
    for merge in words[: size - len(tokens) - 1]:
        merges.append(merge)
        tokens.append("".join(merge))
    return [*tokens, END], merges


def write_random_tokenizer(size: int, path: Path) -> Path:
    """A tokenizer.json of `size` tokens, the last of them the end of a text."""
    tokens, merges = vocabulary(size)
    byte_level: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False}
    byte_level |= {"trim_offsets": True, "use_regex": True}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "vocab": {token: number for number, token in enumerate(tokens)},
        "merges": [" ".join(merge) for merge in merges],
    }
    added = {"id": size - 1, "content": END, "special": True}
    added |= dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": model,
    }
    path.write_text(json.dumps(tokenizer), "utf-8")
    return path


def _byte_alphabet() -> list[str]:
    """GPT-2's 256 characters for bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in shown]
    names = {byte: chr(byte) for byte in shown}
    names |= {byte: chr(256 + number) for number, byte in enumerate(others)}
    return [names[byte] for byte in range(256)]
