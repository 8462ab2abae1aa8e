"""Write a GPT-2 checkpoint of a published shape with random weights: speed needs no training.

python benchmarks/random_checkpoint.py 124M folder
"""

from __future__ import annotations

import argparse
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# n_layer, n_head, n_embd (Radford et al. 2019, table 2; parameter counts as released)
SHAPES = {
    "124M": (12, 12, 768),
    "355M": (24, 16, 1024),
    "774M": (36, 20, 1280),
    "1558M": (48, 25, 1600),
}
_INITIAL_STD = 0.02  # of GPT-2's initialization


def write_random_checkpoint(
    shape: str, folder: Path, seed: int = 0, layers: int | None = None
) -> Path:
    """A Hugging Face folder of the shape `shape`, or of its first `layers`, in float32.

    One tensor is in memory at a time.
    """
    n_layer, n_head, n_embd = SHAPES[shape]
    n_layer = layers or n_layer
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu_new",
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": n_embd,
        "n_layer": n_layer,
        "n_head": n_head,
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    random = np.random.default_rng(seed)
    shapes = dict(_tensors(n_layer, n_embd, 50257, 1024))
    # safetensors' own writer wants all tensors at once; the format is a header and the bytes.
    header, offset = {}, 0
    for name, size in shapes.items():
        end = offset + 4 * int(np.prod(size))
        header[name] = {"dtype": "F32", "shape": size, "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    encoded += b" " * (-len(encoded) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name, size in shapes.items():
            if name.endswith("bias"):
                array = np.zeros(size, np.float32)
            elif ".ln_" in name:
                array = np.ones(size, np.float32)
            else:
                array = random.standard_normal(size, np.float32) * np.float32(_INITIAL_STD)
            file.write(array.data)
    return folder


def _tensors(
    n_layer: int, n_embd: int, vocab_size: int, n_positions: int
) -> Iterator[tuple[str, list[int]]]:
    yield "transformer.wte.weight", [vocab_size, n_embd]
    yield "transformer.wpe.weight", [n_positions, n_embd]
    for layer in range(n_layer):
        block = f"transformer.h.{layer}"
        for norm in ("ln_1", "ln_2"):
            yield f"{block}.{norm}.weight", [n_embd]
            yield f"{block}.{norm}.bias", [n_embd]
        for linear, n_in, n_out in (
            ("attn.c_attn", n_embd, 3 * n_embd),
            ("attn.c_proj", n_embd, n_embd),
            ("mlp.c_fc", n_embd, 4 * n_embd),
            ("mlp.c_proj", 4 * n_embd, n_embd),
        ):
            yield f"{block}.{linear}.weight", [n_in, n_out]
            yield f"{block}.{linear}.bias", [n_out]
    yield "transformer.ln_f.weight", [n_embd]
    yield "transformer.ln_f.bias", [n_embd]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    write_random_checkpoint(arguments.shape, arguments.folder)
