"""Write spec/tokenizers.json: small tokenizers with what transformers makes of texts and of ids.

Needs transformers (extra [optimum]); run from the repository's root. Each runtime runs the file as
a test, so that all of them give the ids and the text that transformers gives. Tokenizers that are
in the file already are kept, since training is not the same twice.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
import transformers
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from gpt2_edge_export.tokenizer.clean_up import with_clean_up

ABOUT = (
    "Tokenizers, and what transformers {} (tokenizers {}) makes of texts and of ids. kind: "
    "byte_level_bpe is GPT-2's, which every runtime reads; word_piece and unigram are for runtimes "
    "that read more. tokenizer: the content of tokenizer.json. encode: ids of tokenizer(text); "
    "without_special: with add_special_tokens=False; plain: of encode(text, parse_special=False), "
    "which is split_special_tokens=True; decoded: the text of ids, special tokens skipped. decode: "
    "the text of ids that no text gives. Pieces of a stream concatenate to the same text."
)
CORPUS = (
    "the cat and the other cats didn't cross the street , because it was too tired .",
    "It wasn't the end: they're here, we've seen 12,345 of them, and I'm sure it's true!",
    "naïve café — “quoted” text, 日本語 and 🙂, is text like the other text",
) * 4
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEXTS = (
    "",
    "the cat",
    " the cat",
    "They're here; it isn't  the end.\n\n\tTrue !",
    "naïve café — “quoted” 日本語 🙂 👩‍👩‍👧",
    "<|im_start|>the cat<|im_end|> and <|endoftext|>the end",
    "a <note> b<note>c",
    "é e\u0301 \u00a0 \u2003x\ufeff 'S 'll 12345",
)
BERT_TEXTS = (
    "",
    "the cat",
    "The CATS didn't cross the street, did they?",
    "Café naïve, e\u0301 日本語 text\tand\nmore",
    "[CLS] the [MASK] cat [SEP] unheardof",
)
UNIGRAM_TEXTS = ("", "the cat", "  the  cats and</s>the end", "café 🙂 text", "<s>the cat")


def byte_level(
    *, add_prefix_space: bool = False, bos: bool = False, clean_up: bool = False
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken("<note>", normalized=False, lstrip=True)])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{SPECIAL[0]} $A",
            pair=f"{SPECIAL[0]} $A $B:1",
            special_tokens=[(SPECIAL[0], tokenizer.token_to_id(SPECIAL[0]))],
        )
    return with_clean_up(tokenizer) if clean_up else tokenizer


def word_piece() -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.UnigramTrainer(
        vocab_size=120,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


CLEAN_UP = "clean_up_tokenization_spaces"
KINDS: dict[str, tuple[str, Callable[[], Tokenizer], tuple[str, ...]]] = {
    "special and added tokens": ("byte_level_bpe", byte_level, TEXTS),
    "a template that adds a beginning of text": (
        "byte_level_bpe",
        lambda: byte_level(bos=True),
        TEXTS,
    ),
    "a space before the text": (
        "byte_level_bpe",
        lambda: byte_level(add_prefix_space=True),
        TEXTS,
    ),
    CLEAN_UP: ("byte_level_bpe", lambda: byte_level(clean_up=True), TEXTS),
    "BERT": ("word_piece", word_piece, BERT_TEXTS),
    "SentencePiece's Unigram": ("unigram", unigram, UNIGRAM_TEXTS),
}


def record(name: str, kind: str, backend: Tokenizer, texts: tuple[str, ...]) -> dict[str, Any]:
    clean_up = name == CLEAN_UP
    content = json.loads(backend.to_str())
    if clean_up:  # transformers' own clean-up on the plain decoder
        backend = Tokenizer.from_str(backend.to_str())
        backend.decoder = decoders.ByteLevel()
    # transformers sets the pre-tokenizer's add_prefix_space to this, false if it is left out.
    spaced = bool((content["pre_tokenizer"] or {}).get("add_prefix_space"))
    reference = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, clean_up_tokenization_spaces=clean_up, add_prefix_space=spaced
    )

    def decoded(ids: list[int]) -> str:
        return str(reference.decode(ids, skip_special_tokens=True))

    encode = []
    for text in texts:
        ids = reference(text)["input_ids"]
        without = reference(text, add_special_tokens=False)["input_ids"]
        plain = reference(text, split_special_tokens=True)["input_ids"]
        encode.append(
            {
                "text": text,
                "ids": ids,
                "without_special": without,
                "plain": plain,
                "decoded": decoded(ids),
            }
        )
    size = len(reference)
    face = reference("🙂", add_special_tokens=False)["input_ids"]
    # Halves of characters, special tokens within them, every id once, ids past the vocabulary.
    several = [face[:-1], [*face[:1], 0, *face[1:]], list(range(size)), [size, *face, size + 7]]
    ends = " .  .  ' ' n't n 't 's 've  ' 're ! ?, ,"
    several.append(reference(f"a{ends} b", add_special_tokens=False)["input_ids"])
    decode = [{"ids": ids, "decoded": decoded(ids)} for ids in several]
    return {
        "name": name,
        "kind": kind,
        "tokenizer": content,
        "encode": encode,
        "decode": decode,
    }


def main() -> int:
    path = Path("spec/tokenizers.json")
    old = json.loads(path.read_text("utf-8"))["tokenizers"] if path.exists() else []
    kept = {item["name"]: json.dumps(item["tokenizer"]) for item in old}
    recorded = []
    for name, (kind, build, texts) in KINDS.items():
        backend = Tokenizer.from_str(kept[name]) if name in kept else build()
        recorded.append(record(name, kind, backend, texts))
    about = ABOUT.format(transformers.__version__, tokenizers.__version__)
    lines = ",\n".join(
        json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in recorded
    )
    about = json.dumps(about, ensure_ascii=False)
    path.write_text(f'{{"about": {about},\n"tokenizers": [\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
