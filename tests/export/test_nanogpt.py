"""Checkpoints of nanoGPT's train.py: transposed weights, optional biases, exact GELU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.output.generation_file import read_generation_file
from helpers import assert_one_line, random_config, random_tensors
from oracle import Oracle

pytestmark = pytest.mark.optimum

LINEAR = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
MODEL_ARGS = {
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 32,
    "block_size": 64,
    "bias": True,
    "vocab_size": 101,
    "dropout": 0.0,
}


def write_ckpt(
    torch: Any, file: Path, tensors: dict[str, np.ndarray], prefix: str = "", **arguments: Any
) -> Path:
    """A ckpt.pt as train.py writes it, from tensors in transformers' names and layout."""
    state = {
        f"{prefix}transformer.{name}": torch.from_numpy(
            value.T.copy() if name.endswith(LINEAR) else value
        )
        for name, value in tensors.items()
    }
    state[f"{prefix}lm_head.weight"] = state[f"{prefix}transformer.wte.weight"]
    content = {
        "model": state,
        "optimizer": {"state": {}, "param_groups": [{"lr": 6e-4, "params": [0, 1]}]},
        "model_args": MODEL_ARGS | arguments,
        "iter_num": 2000,
        "best_val_loss": torch.tensor(1.47),
        "config": {"dataset": "shakespeare_char", "device": "cuda"},
    }
    torch.save(content, file)
    return file


def check(file: Path, oracle: Oracle) -> None:
    package = file.parent / "package"
    export_package(file, package, ExportOptions(recipe="fp32", tokenizer=False))
    ids = np.random.default_rng(1).integers(0, 101, 24).tolist()
    generator = Generator.load(package)
    np.testing.assert_allclose(generator.logits(ids), oracle.logits(ids), rtol=0, atol=1e-4)
    config = GenerationConfig(max_new_tokens=20, ignore_eos=True)
    assert list(generator.generate(ids, config).ids) == oracle.greedy(ids, 20)


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "_orig_mod.module.", "model."])
def test_with_biases(torch: Any, tmp_path: Path, prefix: str) -> None:
    config = random_config(activation_function="gelu")
    tensors = random_tensors(config)
    check(write_ckpt(torch, tmp_path / "ckpt.pt", tensors, prefix), Oracle(config, tensors))


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module._orig_mod."])
def test_without_biases(torch: Any, tmp_path: Path, prefix: str) -> None:
    config = random_config(activation_function="gelu")
    tensors = random_tensors(config)
    kept = {name: value for name, value in tensors.items() if not name.endswith("bias")}
    zeroed = {
        name: np.zeros_like(value) if name.endswith("bias") else value
        for name, value in tensors.items()
    }
    file = write_ckpt(torch, tmp_path / "ckpt.pt", kept, prefix, bias=False)
    check(file, Oracle(config, zeroed))


def test_mask_of_old_versions_is_ignored(torch: Any, tmp_path: Path) -> None:
    config = random_config(activation_function="gelu")
    tensors = random_tensors(config)
    masks = {f"h.{i}.attn.bias": np.tri(64, dtype=np.float32)[None, None] for i in range(2)}
    check(write_ckpt(torch, tmp_path / "ckpt.pt", tensors | masks), Oracle(config, tensors))


def test_tanh_gelu_of_old_versions(torch: Any, tmp_path: Path) -> None:
    file = write_ckpt(torch, tmp_path / "ckpt.pt", random_tensors(random_config()))
    assert open_checkpoint(file).config.activation_function == "gelu"
    assert open_checkpoint(file, "gelu_new").config.activation_function == "gelu_new"


def test_gpt2_vocabulary_has_its_end_of_text(torch: Any, tmp_path: Path) -> None:
    config = random_config(vocab_size=50304, n_embd=8, n_positions=4)
    file = write_ckpt(
        torch, tmp_path / "a.pt", random_tensors(config), vocab_size=50304, n_embd=8, block_size=4
    )
    special = read_generation_file(open_checkpoint(file)).special
    assert (special.bos, special.eos) == (50256, (50256,))
    small = write_ckpt(torch, tmp_path / "b.pt", random_tensors(random_config()))
    assert read_generation_file(open_checkpoint(small)).special.eos == ()


def test_missing_weight_is_named(torch: Any, tmp_path: Path) -> None:
    tensors = random_tensors(random_config())
    del tensors["h.1.mlp.c_fc.weight"]
    file = write_ckpt(torch, tmp_path / "ckpt.pt", tensors)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(file)
    assert_one_line(caught.value, file, "h.1.mlp.c_fc.weight")


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {}},
        {"model": {}, "model_args": {}},
        {"model": {}, "model_args": MODEL_ARGS | {"vocab_size": None}},
        {"model": [], "model_args": MODEL_ARGS},
        [1, 2],
    ],
)
def test_file_of_something_else(torch: Any, tmp_path: Path, content: Any) -> None:
    file = tmp_path / "ckpt.pt"
    torch.save(content, file)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(file)
    assert_one_line(caught.value, file)


def test_no_tokenizer_beside_it(torch: Any, tmp_path: Path) -> None:
    file = write_ckpt(torch, tmp_path / "ckpt.pt", random_tensors(random_config()))
    with pytest.raises(CheckpointError) as caught:
        export_package(file, tmp_path / "package")
    assert_one_line(caught.value, "--no-tokenizer", "--tokenizer")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("n_layer", float("inf")),
        ("n_layer", float("nan")),
        ("n_layer", 2.0),
        ("n_layer", 10**12),
        ("n_layer", 10**400),
        ("n_layer", True),
        ("n_head", "2"),
        ("n_embd", [32]),
        ("n_embd", 0),
        ("block_size", -64),
        ("vocab_size", np.int64(101)),
        ("bias", "False"),
        ("bias", 1),
        ("bias", None),
    ],
)
def test_model_args_out_of_range(torch: Any, tmp_path: Path, argument: str, value: Any) -> None:
    tensors = random_tensors(random_config())
    file = write_ckpt(torch, tmp_path / "ckpt.pt", tensors, **{argument: value})
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(file)
    assert_one_line(caught.value, file, argument)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("bias", [True, False])
def test_biases_are_as_model_args_says(torch: Any, tmp_path: Path, bias: bool) -> None:
    tensors = random_tensors(random_config())
    kept = {name: value for name, value in tensors.items() if not name.endswith("bias")}
    file = write_ckpt(torch, tmp_path / "ckpt.pt", kept if bias else tensors, bias=bias)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(file)
    assert_one_line(caught.value, file, "bias")


def test_one_bias_is_missing_from_a_model_with_biases(torch: Any, tmp_path: Path) -> None:
    tensors = random_tensors(random_config())
    del tensors["h.1.ln_2.bias"]
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(write_ckpt(torch, tmp_path / "ckpt.pt", tensors))
    assert_one_line(caught.value, "h.1.ln_2.bias")


def test_loss_as_a_scalar_of_numpy(torch: Any, tmp_path: Path) -> None:
    """As train.py's offspring save it."""
    config = random_config(activation_function="gelu")
    tensors = random_tensors(config)
    file = write_ckpt(torch, tmp_path / "ckpt.pt", tensors)
    content = torch.load(file, weights_only=True) | {"best_val_loss": np.float64(1.5)}
    torch.save(content, file)
    check(file, Oracle(config, tensors))


def test_a_shape_is_told_as_the_file_has_it(torch: Any, tmp_path: Path) -> None:
    tensors = random_tensors(random_config())
    tensors["h.0.mlp.c_fc.weight"] = np.ones((32, 100), np.float32)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(write_ckpt(torch, tmp_path / "ckpt.pt", tensors))
    assert_one_line(caught.value, "h.0.mlp.c_fc.weight' has shape [100, 32]", "[128, 32]")


def test_what_another_file_holds_is_said(torch: Any, tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "ckpt.pt")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path / "ckpt.pt")
    assert_one_line(caught.value, "model_args", "'state_dict', 'epoch'")
