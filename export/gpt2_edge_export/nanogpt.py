"""Checkpoints that karpathy/nanoGPT's train.py writes: ckpt.pt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.readers import TensorReader, TorchReader, load_torch_file

_ORIG_MOD = "_orig_mod."  # put in front of every name by torch.compile
_LINEAR = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


class _BiasFree:
    """Adds zero biases to a reader: nanoGPT trains without them where `bias` is off."""

    def __init__(self, reader: TorchReader) -> None:
        self._reader = reader
        self.shapes = dict(reader.shapes)
        for name, shape in reader.shapes.items():
            bias = name.removesuffix("weight") + "bias"
            if (".h." in name and name.endswith(".weight")) or name.endswith("ln_f.weight"):
                self.shapes.setdefault(bias, shape[-1:])

    def read(self, name: str) -> Any:
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
        raise CheckpointError(f"{path} is not a nanoGPT checkpoint: it has no model and model_args")
    try:
        sizes = {key: int(arguments[key]) for key in ("n_layer", "n_head", "n_embd", "vocab_size")}
        n_positions = int(arguments["block_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: model_args lacks {error}") from error
    raw_config: dict[str, Any] = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        **sizes,
        "n_positions": n_positions,
        "activation_function": activation_function or "gelu",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
    }
    if sizes["vocab_size"] == 50257 or sizes["vocab_size"] == 50304:  # GPT-2's, or rounded up
        raw_config |= {"bos_token_id": 50256, "eos_token_id": 50256}
    tensors = {
        name.removeprefix(_ORIG_MOD): value
        for name, value in weights.items()
        if not name.endswith(".attn.bias")  # the causal mask of old versions
    }
    return raw_config, _BiasFree(TorchReader(tensors, lambda name: name.endswith(_LINEAR)))
