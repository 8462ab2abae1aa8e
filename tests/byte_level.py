"""A byte-level tokenizer of given tokens, as spec/detokenizing.json and spec/decoding.json say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gpt2_edge.text.tokenizer import Tokenizer


def byte_level_tokenizer(
    folder: Path, vocabulary: Sequence[str], special: Sequence[int]
) -> Tokenizer:
    """The tokenizer whose token of each id is `vocabulary[id]`, by way of a file in `folder`."""
    tokens = {token: number for number, token in enumerate(vocabulary)}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [{"id": i, "content": vocabulary[i], "special": True, **flags} for i in special]
    options = {"add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    byte_level = {"type": "ByteLevel", **options}
    model = {"type": "BPE", "vocab": tokens, "merges": []}
    content = {"version": "1.0", "added_tokens": added, "normalizer": None, "model": model}
    content |= {"pre_tokenizer": byte_level, "decoder": byte_level, "post_processor": None}
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return Tokenizer(file)
