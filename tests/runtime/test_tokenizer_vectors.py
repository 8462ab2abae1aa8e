"""GPT-2's own vocabulary against pairs of text and ids from three projects' tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.tokenizer.files import TOKENIZER_FILE, read_tokenizer

pytestmark = pytest.mark.shared

GPT2 = GPT2Config(
    vocab_size=50257,
    n_positions=1024,
    n_embd=768,
    n_layer=12,
    n_head=12,
    n_inner=3072,
    bos_token_id=50256,
    eos_token_ids=(50256,),
)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    folder = shared_data / "data" / "tokenizer"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not on this machine")
    return folder


@pytest.fixture(scope="module")
def gpt2(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    files = read_tokenizer(folder, GPT2)
    assert files is not None
    path = tmp_path_factory.mktemp("gpt2") / TOKENIZER_FILE
    path.write_text(files.contents[TOKENIZER_FILE], encoding="utf-8")
    return Tokenizer(path)


def test_vocab_size(gpt2: Tokenizer) -> None:
    assert gpt2.vocab_size == 50257


def test_published_vectors(gpt2: Tokenizer, folder: Path) -> None:
    vectors = json.loads((folder / "vectors.json").read_text("utf-8"))
    assert len(vectors) == 52
    wrong = [item["source"] for item in vectors if gpt2.encode(item["text"]) != item["ids"]]
    assert wrong == []


def test_published_vectors_decode_to_their_text(gpt2: Tokenizer, folder: Path) -> None:
    vectors = json.loads((folder / "vectors.json").read_text("utf-8"))
    for item in vectors:
        assert gpt2.decode(item["ids"]) == item["text"].replace("<|endoftext|>", "")
