"""Tokenizers from the files of before tokenizer.json, built as transformers converts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from gpt2_edge.errors import CheckpointError
from gpt2_edge.text.tokenizer_file import library_call
from gpt2_edge.untrusted import TOKENIZER_LIMIT, UnreadableError, read_bytes, shown
from gpt2_edge_export.checkpoint.config import read_json

# vocabulary and merges, as transformers and as OpenAI's release call them
PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
WORD_PIECE_FILE = "vocab.txt"
# What a SentencePiece or tiktoken model is called; none of them can be built here.
_OTHERS = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "tekken.json")
_OTHER_SUFFIXES = (".spm", ".tiktoken")
_MOST_IDS = 10_000_000


def byte_level_bpe(vocabulary: Path, merges: Path, add_prefix_space: bool) -> Tokenizer:
    """GPT-2's byte-level BPE; raises CheckpointError for files that are none."""
    try:
        model = library_call(lambda: models.BPE(_vocabulary(vocabulary), _merges(merges)))
    except UnreadableError as error:
        raise CheckpointError(f"{vocabulary} and {merges} are no BPE: {error}") from error
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def word_piece(vocabulary: Path, unk_token: str) -> Tokenizer:
    """BERT's WordPiece from vocab.txt, a token per line."""
    tokens = _text(vocabulary).split("\n")
    if tokens and not tokens[-1]:
        tokens.pop()
    ids = {token: number for number, token in enumerate(tokens)}
    try:
        model = library_call(lambda: models.WordPiece(ids, unk_token=unk_token))
    except UnreadableError as error:
        raise CheckpointError(f"{vocabulary} is no WordPiece vocabulary: {error}") from error
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def add_around(tokenizer: Tokenizer, before: str | None, after: str | None, where: Path) -> None:
    """Let `tokenizer` put these tokens before and after every text."""
    ends = [token for token in (before, after) if token is not None]
    pieces = [before, "$A", after]
    known = [(token, tokenizer.token_to_id(token)) for token in dict.fromkeys(ends)]
    if any(token_id is None for _, token_id in known):
        raise CheckpointError(f"{where}: {shown(ends)} are not in the vocabulary")
    single = [piece for piece in pieces if piece is not None]
    try:
        tokenizer.post_processor = library_call(
            lambda: processors.TemplateProcessing(single=single, special_tokens=known)
        )
    except UnreadableError as error:
        raise CheckpointError(
            f"{where}: {shown(ends)} cannot stand around a text: {error}"
        ) from error


def other_tokenizer(folder: Path) -> Path | None:
    """A tokenizer of a kind that cannot be built here."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name in _OTHERS or path.suffix in _OTHER_SUFFIXES:
            return path
    return None


def _vocabulary(path: Path) -> dict[str, int]:
    vocabulary: dict[str, Any] = read_json(path, TOKENIZER_LIMIT)
    for token, token_id in vocabulary.items():
        if type(token_id) is not int or not 0 <= token_id < _MOST_IDS:
            raise CheckpointError(f"{path} gives {shown(token)} the id {shown(token_id)}")
    return vocabulary


def _merges(path: Path) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(_text(path).removeprefix("\ufeff").split("\n"), 1):
        if not line or line.startswith("#version"):
            continue
        parts = line.split(" ")
        if len(parts) != 2:
            raise CheckpointError(f"{path} is no list of merges: line {number} is {shown(line)}")
        merges.append((parts[0], parts[1]))
    return merges


def _text(path: Path) -> str:
    """The content with line ends as Python reads them; a BOM, too, is text to transformers."""
    try:
        content = read_bytes(path, TOKENIZER_LIMIT).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: byte {error.start} is not UTF-8") from error
    except (FileNotFoundError, UnreadableError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return content.replace("\r\n", "\n").replace("\r", "\n")
