"""Run a package in onnxruntime-genai: on_genai.py REQUEST.json RESULT.npz.

It is run by the Python that has onnxruntime-genai, so it imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import onnxruntime_genai as genai


def greedy(generator: Any, count: int) -> np.ndarray:
    """Generate `count` tokens; the logits [count, vocab] that each was chosen from."""
    rows = []
    for _ in range(count):
        rows.append(np.array(generator.get_logits()).reshape(-1))
        generator.generate_next_token()
    return np.stack(rows)


def run(model: Any, prompt: list[int], request: dict[str, Any]) -> dict[str, np.ndarray]:
    """A continuation, the same again after a rewind, and another one after different tokens."""
    count, kept = request["new_tokens"], request["kept_tokens"]
    parameters = genai.GeneratorParams(model)
    options = {"max_length": request["max_length"], "do_sample": False}
    if request["shared"] is not None:  # else as genai_config.json says
        options["past_present_share_buffer"] = request["shared"]
    parameters.set_search_options(**options)
    generator = genai.Generator(model, parameters)

    def tokens() -> np.ndarray:
        return np.array(generator.get_sequence(0))[len(prompt) :]

    generator.append_tokens(np.array([prompt], np.int32))
    logits = greedy(generator, count)
    first = tokens()
    generator.rewind_to(len(prompt) + kept)
    rewound = tokens()
    generator.append_tokens(np.array([first[kept : kept + 1]], np.int32))
    again_logits = greedy(generator, count - kept - 1)
    again = tokens()
    generator.rewind_to(len(prompt) + kept)
    generator.append_tokens(np.array([request["other_tokens"]], np.int32))
    other_logits = greedy(generator, count - kept - len(request["other_tokens"]))
    return {
        "tokens": first,
        "logits": logits,
        "rewound": rewound,
        "again": again,
        "again_logits": again_logits,
        "other": tokens(),
        "other_logits": other_logits,
    }


def main(request_file: str, result_file: str) -> None:
    request = json.loads(Path(request_file).read_text("utf-8"))
    config = genai.Config(request["package"])
    if request["overlay"]:
        config.overlay(json.dumps(request["overlay"]))
    model = genai.Model(config)
    text = genai.Tokenizer(model)
    results = {"onnxruntime": np.array(onnxruntime.__version__)}
    for number, prompt in enumerate(request["prompts"]):
        results[f"ids{number}"] = np.array(text.encode(prompt["text"]))
        for name, array in run(model, prompt["ids"], request).items():
            results[f"{name}{number}"] = array
    np.savez(result_file, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
