"""GPT-Neo checkpoints, random or in models/sample's weights, and the model in float64 NumPy.

After transformers' modeling_gpt_neo and its configuration; it imports nothing of the export.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from helpers import Tensors, write_checkpoint
from oracle import ACTIVATIONS, Array

_LINEAR = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def neo_config(**overrides: Any) -> dict[str, Any]:
    """A config.json of a tiny GPT-Neo, with `overrides`; None takes a key out."""
    config: dict[str, Any] = {
        "model_type": "gpt_neo",
        "architectures": ["GPTNeoForCausalLM"],
        "num_layers": 2,
        "num_heads": 2,
        "hidden_size": 32,
        "intermediate_size": None,
        "max_position_embeddings": 160,
        "vocab_size": 101,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 0,
    } | overrides
    return {key: value for key, value in config.items() if value is not None}


def neo_tensors(config: dict[str, Any], seed: int = 0) -> Tensors:
    """Weights under GPT-Neo's own names; linear ones are [out, in].

    Queries are small, since scores are not divided by anything: otherwise every token would attend
    to one other alone.
    """
    random = np.random.default_rng(seed)
    width, heads = config["hidden_size"], config["num_heads"]
    inner = config.get("intermediate_size") or 4 * width

    def matrix(n_out: int, n_in: int, size: float = 1.2) -> Array:
        return random.standard_normal((n_out, n_in)) * (size / math.sqrt(n_in))

    def norm(name: str) -> dict[str, Array]:
        weight, bias = 0.2 * random.standard_normal((2, width))
        return {f"{name}.weight": weight + 1, f"{name}.bias": bias}

    tensors = {
        "wte.weight": matrix(config["vocab_size"], width),
        "wpe.weight": matrix(config["max_position_embeddings"], width),
    }
    for layer in range(config["num_layers"]):
        attention, mlp = f"h.{layer}.attn.attention", f"h.{layer}.mlp"
        tensors |= norm(f"h.{layer}.ln_1") | norm(f"h.{layer}.ln_2")
        tensors |= {
            f"{attention}.q_proj.weight": matrix(width, width, 1.5 / math.sqrt(width / heads)),
            f"{attention}.k_proj.weight": matrix(width, width),
            f"{attention}.v_proj.weight": matrix(width, width),
            f"{attention}.out_proj.weight": matrix(width, width),
            f"{attention}.out_proj.bias": 0.2 * random.standard_normal(width),
            f"{mlp}.c_fc.weight": matrix(inner, width),
            f"{mlp}.c_fc.bias": 0.2 * random.standard_normal(inner),
            f"{mlp}.c_proj.weight": matrix(width, inner),
            f"{mlp}.c_proj.bias": 0.2 * random.standard_normal(width),
        }
    tensors |= norm("ln_f")
    if not config.get("tie_word_embeddings", True):
        tensors["lm_head.weight"] = matrix(config["vocab_size"], width)
    return {name: np.asarray(value, np.float32) for name, value in tensors.items()}


def write_neo(folder: Path, seed: int = 0, **overrides: Any) -> Path:
    """A Hugging Face folder of a random GPT-Neo, without a tokenizer; returns `folder`."""
    config = neo_config(**overrides)
    return write_checkpoint(folder, config, neo_tensors(config, seed))


def neo_of_gpt2(source: Path, folder: Path, window: int) -> Path:
    """The GPT-2 in `source` as a GPT-Neo whose every second layer has a window.

    A GPT-Neo has no biases on queries, keys and values: they are lost. The rest is the same
    function, its scale moved into the queries. Tokenizer and settings stay.
    """
    config = json.loads((source / "config.json").read_text("utf-8"))
    layers, width = config["n_layer"], config["n_embd"]
    tensors: Tensors = {}
    for file in sorted(source.glob("*.safetensors")):
        tensors |= {k.removeprefix("transformer."): v for k, v in load_file(file).items()}
    neo: Tensors = {}
    for name, value in tensors.items():
        turned = np.ascontiguousarray(
            value.astype(np.float32).T if name.endswith(_LINEAR) else value
        )
        if name.endswith(".attn.c_attn.weight"):
            for part, rows in zip("qkv", np.split(turned, 3), strict=True):
                scale = math.sqrt(config["n_head"] / width) if part == "q" else 1
                own = name.replace("c_attn", f"attention.{part}_proj")
                neo[own] = rows * np.float32(scale)
        elif not name.endswith(".attn.c_attn.bias"):
            neo[name.replace(".attn.c_proj", ".attn.attention.out_proj")] = turned
    folder.mkdir(parents=True)
    for file in source.iterdir():
        if file.suffix in (".json", ".txt") and file.name != "config.json":
            (folder / file.name).write_bytes(file.read_bytes())
    own = neo_config(
        num_layers=layers,
        num_heads=config["n_head"],
        hidden_size=width,
        max_position_embeddings=config["n_positions"],
        vocab_size=config["vocab_size"],
        attention_types=[[["global", "local"], layers // 2]],
        window_size=window,
        activation_function=config["activation_function"],
        bos_token_id=config["bos_token_id"],
        eos_token_id=config["eos_token_id"],
    )
    return write_checkpoint(folder, own, neo)


class NeoOracle:
    """A GPT-Neo given by its config.json and its tensors, without `transformer.`."""

    def __init__(self, config: dict[str, Any], tensors: Tensors) -> None:
        self.config = config
        self.tensors = {name: value.astype(np.float64) for name, value in tensors.items()}
        kinds = [k for types, times in config["attention_types"] for k in types * times]
        self.windows = [config["window_size"] if kind == "local" else None for kind in kinds]
        self._weights: list[Array] = []  # each layer's, of the last run

    @classmethod
    def load(cls, folder: Path) -> NeoOracle:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        tensors = load_file(folder / "model.safetensors")
        return cls(config, {k.removeprefix("transformer."): v for k, v in tensors.items()})

    def logits(self, ids: Sequence[int]) -> Array:
        """Logits [tokens, vocab] after each of `ids`."""
        self._weights = []
        x = self.tensors["wte.weight"][list(ids)] + self.tensors["wpe.weight"][: len(ids)]
        for layer, window in enumerate(self.windows):
            block = f"h.{layer}"
            x = x + self._attention(
                self._norm(x, f"{block}.ln_1"), f"{block}.attn.attention", window
            )
            inner = self._linear(self._norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
            activated = ACTIVATIONS[self.config["activation_function"]](inner)
            x = x + self._linear(activated, f"{block}.mlp.c_proj")
        head = self.tensors.get("lm_head.weight", self.tensors["wte.weight"])
        return self._norm(x, "ln_f") @ head.T

    def attention(self, ids: Sequence[int]) -> Array:
        """Attention's weights [layers, heads, tokens, tokens] among `ids`."""
        self.logits(ids)
        return np.stack(self._weights)

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        """The `count` likeliest tokens after `ids`, each fed back."""
        sequence = list(ids)
        for _ in range(count):
            sequence.append(int(self.logits(sequence)[-1].argmax()))
        return sequence[len(ids) :]

    def _attention(self, x: Array, name: str, window: int | None) -> Array:
        tokens, width = x.shape
        heads = self.config["num_heads"]
        query, key, value = (
            (x @ self.tensors[f"{name}.{part}_proj.weight"].T)
            .reshape(tokens, heads, width // heads)
            .transpose(1, 0, 2)
            for part in "qkv"
        )
        scores = query @ key.transpose(0, 2, 1)
        seen = np.tri(tokens, dtype=bool)
        if window is not None:
            seen &= ~np.tri(tokens, k=-window, dtype=bool)
        scores = np.where(seen, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        self._weights.append(weights)
        joined = (weights @ value).transpose(1, 0, 2).reshape(tokens, width)
        return self._linear(joined, f"{name}.out_proj")

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        normed = centred / np.sqrt(
            (centred**2).mean(-1, keepdims=True) + self.config["layer_norm_epsilon"]
        )
        return normed * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def _linear(self, x: Array, name: str) -> Array:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]
