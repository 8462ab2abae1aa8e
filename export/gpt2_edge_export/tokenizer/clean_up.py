"""transformers' clean_up_tokenization_spaces, written into tokenizer.json itself.

Tokenizers that transformers saved before 4.45 mostly have this setting: spaces before punctuation
and English contractions are dropped from decoded text. As steps of the decoder, every program that
reads tokenizer.json does the same, and no second file has to be read.
"""

from __future__ import annotations

from tokenizers import Tokenizer, decoders

# PreTrainedTokenizerBase.clean_up_tokenization: one after another, each over the whole text.
REPLACEMENTS = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def with_clean_up(tokenizer: Tokenizer) -> Tokenizer:
    """`tokenizer`, changed so that what it decodes is cleaned up."""
    # ByteLevel makes one text of the tokens and Fuse does, so the replacements see the whole.
    decoder = tokenizer.decoder
    whole: list[decoders.Decoder] = [decoder or _with_spaces_between()]
    if not isinstance(decoder, decoders.ByteLevel):
        whole.append(decoders.Fuse())
    steps = [decoders.Replace(old, new) for old, new in REPLACEMENTS]
    tokenizer.decoder = decoders.Sequence([*whole, *steps])
    return tokenizer


def _with_spaces_between() -> decoders.WordPiece:
    # What the library does without a decoder; no token begins with this prefix.
    return decoders.WordPiece(prefix="\0", cleanup=False)
