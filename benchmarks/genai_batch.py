"""Tokens a second of onnxruntime-genai: genai_batch.py PACKAGE ROWS PROMPT_TOKENS NEW_TOKENS.

It is run by a Python that has onnxruntime-genai, so it imports nothing of this project.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import onnxruntime_genai as genai


def main() -> None:
    """Decode greedily and print the rate over all rows, the prompts' time left out."""
    package = sys.argv[1]
    rows, prompt_tokens, new_tokens = map(int, sys.argv[2:])
    model = genai.Model(package)
    parameters = genai.GeneratorParams(model)
    parameters.set_search_options(
        do_sample=False,
        batch_size=rows,
        max_length=prompt_tokens + new_tokens,
        min_length=prompt_tokens + new_tokens,
    )
    generator = genai.Generator(model, parameters)
    prompts = np.array([range(10 + row, 10 + row + prompt_tokens) for row in range(rows)], np.int32)
    generator.append_tokens(prompts)
    generator.generate_next_token()
    started = time.perf_counter()
    for _ in range(new_tokens - 1):
        generator.generate_next_token()
    print(rows * (new_tokens - 1) / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
