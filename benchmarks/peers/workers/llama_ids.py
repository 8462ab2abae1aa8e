"""A text in the ids of a GGUF, by llama.cpp's tokenizer: {"model", "text"} -> {"ids": [...]}."""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import llama_cpp.llama_cpp as llama

_SILENT = llama.llama_log_callback(lambda level, text, data: None)


def main() -> None:
    """Read the line, print the ids."""
    work = json.loads(sys.stdin.readline())
    llama.llama_log_set(_SILENT, ctypes.c_void_p())
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model = llama.llama_model_load_from_file(str(work["model"]).encode(), params)
    vocab = llama.llama_model_get_vocab(model)
    text = Path(work["text"]).read_bytes()
    ids = (llama.llama_token * len(text))()  # no token is shorter than a byte
    # As llama-perplexity calls it: the beginning of a text where the model wants it, no specials.
    count = llama.llama_tokenize(vocab, text, len(text), ids, len(text), True, False)
    print(json.dumps({"ids": list(ids[:count])}))


if __name__ == "__main__":
    main()
