"""Checkpoints that karpathy/nanoGPT's train.py writes: ckpt.pt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import shown
from gpt2_edge_export.checkpoint.readers import TensorReader
from gpt2_edge_export.checkpoint.tensor_names import some
from gpt2_edge_export.checkpoint.torch_file import TorchReader, load_torch_file, tensors_of

_LINEAR = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
_HAS_BIAS = re.compile(r"(^|\.)(h\.\d+\..*\.weight|ln_f\.weight)$")
# model_args -> config.json
_SIZES = {
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "n_embd",
    "vocab_size": "vocab_size",
    "block_size": "n_positions",
}


class _BiasFree:
    """Adds zero biases to a reader: nanoGPT trains without them where `bias` is off."""

    def __init__(self, reader: TorchReader) -> None:
        self._reader = reader
        self.shapes = dict(reader.shapes)
        self.faults, self.same, self.in_file = reader.faults, reader.same, reader.in_file
        for name, shape in reader.shapes.items():
            if _HAS_BIAS.search(name) and shape:
                self.shapes.setdefault(name.removesuffix("weight") + "bias", shape[-1:])

    def read(self, name: str) -> npt.NDArray[Any]:
        if name in self._reader.shapes:
            return self._reader.read(name)
        return np.zeros(self.shapes[name], np.float32)


def open_nanogpt(
    path: Path, activation_function: str | None = None
) -> tuple[dict[str, Any], TensorReader]:
    """The config (as a Hugging Face config.json) and the tensors of a nanoGPT checkpoint.

    nanoGPT stores linear weights as [out, in], possibly no biases, and not which GELU it used:
    erf's is today's, taken unless `activation_function` says otherwise (gelu_new before 2023).
    """
    content = load_torch_file(path)
    weights = content.get("model") if isinstance(content, dict) else None
    arguments = content.get("model_args") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not isinstance(arguments, dict):
        held = f"a dict of {some(content)}" if isinstance(content, dict) else "no dict"
        raise CheckpointError(
            f"{path} is not a nanoGPT checkpoint, which holds model and model_args, two dicts; it "
            f"holds {held}"
        )
    for key in _SIZES:
        value = arguments.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(
                f"{path}: model_args says {key} = {shown(value)}; expected a whole number from 1 on"
            )
    sizes = {name: arguments[key] for key, name in _SIZES.items()}
    raw_config: dict[str, Any] = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        **sizes,
        "activation_function": activation_function or "gelu",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
    }
    if sizes["vocab_size"] in (50257, 50304):  # GPT-2's, or rounded up
        raw_config |= {"bos_token_id": 50256, "eos_token_id": 50256}
    tensors = {
        name: value
        for name, value in tensors_of(weights, path).items()
        if not name.endswith(".attn.bias")  # the causal mask of old versions
    }
    reader = TorchReader(tensors, lambda name: name.endswith(_LINEAR))
    return raw_config, reader if _has_biases(arguments, tensors, path) else _BiasFree(reader)


def _has_biases(arguments: dict[str, Any], tensors: dict[str, Any], path: Path) -> bool:
    """Whether the model was trained with biases: model_args says so, in old versions the names."""
    held = any(name.endswith(".bias") for name in tensors)
    said = arguments.get("bias", held)
    if not isinstance(said, bool):
        raise CheckpointError(
            f"{path}: model_args says bias = {shown(said)}; expected true or false"
        )
    if held and not said:
        raise CheckpointError(f"{path}: model_args says that there are no biases, but there are")
    return said
