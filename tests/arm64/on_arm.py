"""Run a package and write down what it computes: on_arm.py PACKAGE REQUEST.json RESULT.npz.

It is run by the other Python, so it imports only the runtime.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from gpt2_edge import GenerationConfig, Generator


def main(package: str, request_file: str, result_file: str) -> None:
    request = json.loads(Path(request_file).read_text("utf-8"))
    generator = Generator.load(package, provider="cpu")
    config = GenerationConfig(max_new_tokens=request["new_tokens"], ignore_eos=True)
    stepped = request["stepped"]
    sequence = generator.session.start(len(stepped))
    sequence.prefill(stepped[:1])
    np.savez(
        result_file,
        machine=platform.machine(),
        onnxruntime=onnxruntime.__version__,
        tokenizers=importlib.util.find_spec("tokenizers") is not None,
        encoded=generator.encode(request["text"]),
        tokens=generator.generate(request["prompt"], config).ids,
        logits=np.stack([generator.logits(window) for window in request["windows"]]),
        stepped=np.stack([sequence.feed([token])[0].copy() for token in stepped[1:]]),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
