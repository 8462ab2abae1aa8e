"""The texts on which quantization is calibrated and measured.

Two come with the exporter, both of books in the public domain: excerpts of eighteen books of 1623
to 1928 to calibrate on, and the beginning of A Christmas Carol (Dickens, 1843) to measure on, which
models/sample has not seen.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ExportError
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge.untrusted import UnreadableError, printable, read_text_file

_FOLDER = Path(__file__).resolve().parent / "texts"
CALIBRATION_TEXT = _FOLDER / "calibration.txt"
REPORT_TEXT = _FOLDER / "report.txt"


@dataclass(frozen=True)
class Text:
    r"""A tokenized text: the name of its file, the SHA-256 of what was tokenized, its token ids.

    That is the file's own, unless it begins with a BOM or has other line ends than \n.
    """

    name: str
    sha256: str
    ids: tuple[int, ...]

    def windows(self, size: int, limit: int | None = None) -> npt.NDArray[np.int64]:
        """The first `limit` tokens in whole windows of `size`: int64 [windows, size]."""
        ids = np.array(self.ids[:limit], np.int64)
        size = min(size, len(ids))
        return ids[: len(ids) // size * size].reshape(-1, size)


def read_text(path: Path, tokenizer: Tokenizer, vocab_size: int, least: int) -> Text:
    """The text in the file `path` in the ids of a model with `vocab_size` tokens.

    Raises ExportError, naming the file, where it cannot be read, is no UTF-8, or has fewer than
    `least` tokens.
    """
    try:
        text = read_text_file(path)
    except UnreadableError as error:
        raise ExportError(f"{path} cannot be read: {error}") from error
    ids = [i for i in tokenizer.encode(text, add_special_tokens=False) if i < vocab_size]
    if len(ids) < least:
        count = f"only {len(ids):,} tokens" if ids else "no tokens"
        raise ExportError(f"{path} has {count}; at least {least:,} are needed: give a longer text")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Text(printable(path.name), digest, tuple(ids))
