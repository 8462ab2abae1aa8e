"""Tiny random GPT-2 checkpoints, written without the code under test."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

Tensors = dict[str, np.ndarray]

# What activations have learned, as transformers saves it.
LEARNED: dict[str, dict[str, tuple[int, ...]]] = {
    "prelu": {"mlp.act.weight": (1,)},
    "xielu": {
        "mlp.act.alpha_p": (1,),
        "mlp.act.alpha_n": (1,),
        "mlp.act.beta": (),
        "mlp.act.eps": (),
    },
}
_DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def random_config(**overrides: Any) -> dict[str, Any]:
    """A Hugging Face config.json of a tiny GPT-2, with `overrides`; None takes a key out."""
    config: dict[str, Any] = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 32,
        "n_inner": None,
        "n_positions": 64,
        "vocab_size": 101,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": True,
    } | overrides
    return {key: value for key, value in config.items() if value is not None}


def tensor_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names (those of transformers' GPT2Model) and shapes of the tensors that `config` means."""
    width = config["n_embd"]
    inner = config.get("n_inner") or 4 * width
    block = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.c_attn.weight": (width, 3 * width),
        "attn.c_attn.bias": (3 * width,),
        "attn.c_proj.weight": (width, width),
        "attn.c_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (width, inner),
        "mlp.c_fc.bias": (inner,),
        "mlp.c_proj.weight": (inner, width),
        "mlp.c_proj.bias": (width,),
    }
    block |= LEARNED.get(config.get("activation_function", ""), {})
    shapes = {
        "wte.weight": (config["vocab_size"], width),
        "wpe.weight": (config["n_positions"], width),
    }
    for layer in range(config["n_layer"]):
        shapes |= {f"h.{layer}.{name}": shape for name, shape in block.items()}
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    if not config.get("tie_word_embeddings", True):
        shapes["lm_head.weight"] = (config["vocab_size"], width)
    return shapes


def random_tensors(config: dict[str, Any], seed: int = 0) -> Tensors:
    """Weights that keep activations and logits around 1, so that a wrong one shows."""
    random = np.random.default_rng(seed)
    tensors: Tensors = {}
    for name, shape in tensor_shapes(config).items():
        values = np.asarray(random.standard_normal(shape))
        if ".mlp.act." in name:
            values = {"beta": 0.4, "eps": -1e-6}.get(name.rpartition(".")[2]) or 0.3 * values + 0.1
        elif ".ln_" in name or name.startswith("ln_f"):
            values = 0.2 * values + name.endswith("weight")
        elif len(shape) == 1:
            values *= 0.2
        else:  # 0.2 at width 32
            fan_in = config["n_embd"] if name.startswith(("w", "lm")) else shape[0]
            values *= 1.2 / np.sqrt(fan_in)
        tensors[name] = np.asarray(values, np.float32)
    return tensors


def write_random_checkpoint(
    folder: Path,
    raw_config: dict[str, Any],
    seed: int = 0,
    dtype: str = "float32",
    prefix: bool = True,
    shards: int = 1,
) -> Path:
    """A Hugging Face folder of random weights, without a tokenizer; returns `folder`.

    prefix: names as GPT2LMHeadModel saves them, with `transformer.`. shards: how many safetensors
    files, with an index where there are several.
    """
    return write_checkpoint(
        folder, raw_config, random_tensors(raw_config, seed), dtype, prefix, shards
    )


def write_checkpoint(
    folder: Path,
    raw_config: dict[str, Any],
    tensors: Tensors,
    dtype: str = "float32",
    prefix: bool = True,
    shards: int = 1,
) -> Path:
    """Write `tensors` (names without `transformer.`) as a Hugging Face folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(raw_config, indent=1), "utf-8")
    named = {
        f"transformer.{name}" if prefix and name != "lm_head.weight" else name: value.astype(
            _DTYPES[dtype]
        )
        for name, value in tensors.items()
    }
    if shards == 1:
        save_file(named, folder / "model.safetensors", {"format": "pt"})
        return folder
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: named[name] for name in list(named)[shard::shards]}
        save_file(part, folder / file, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    return folder


def rewrite_package(package: Path, target: Path, **files: dict[str, Any]) -> Path:
    """A copy of `package` with other JSON files, named without .json, and hashes that fit them."""
    shutil.copytree(package, target)
    manifest = json.loads((target / "manifest.json").read_text("utf-8"))
    for name, value in files.items():
        content = json.dumps(value).encode()
        (target / f"{name}.json").write_bytes(content)
        record = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        manifest["files"][f"{name}.json"] = record
    (target / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return target


def assert_one_line(error: BaseException, *parts: object) -> None:
    """The message of `error` is one line that names all of `parts`."""
    message = str(error)
    assert message.strip()
    assert "\n" not in message
    for part in parts:
        assert str(part) in message, f"{part!r} is not in {message!r}"


def busy_after(work: Callable[[], object], wait: float) -> float:
    """Seconds of a processor that this process uses in the `wait` seconds behind `work`.

    The least of five times: on a busy machine what was to be done before is sometimes done then.
    """
    used = []
    for _ in range(5):
        work()
        before = time.process_time()
        time.sleep(wait)
        used.append(time.process_time() - before)
    return min(used)
