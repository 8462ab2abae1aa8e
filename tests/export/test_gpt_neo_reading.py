"""GPT-Neo's files: names and sizes as transformers reads them, one line for what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.checkpoint import Checkpoint, open_checkpoint
from gpt_neo import neo_config, neo_tensors
from helpers import Tensors, assert_one_line, write_checkpoint

CONFIG = neo_config()
TENSORS = neo_tensors(CONFIG)
KEY = "h.1.attn.attention.k_proj.weight"


def opened(folder: Path, tensors: Tensors = TENSORS, **changes: Any) -> Checkpoint:
    config = {k: v for k, v in (CONFIG | changes).items() if v is not None}
    return open_checkpoint(write_checkpoint(folder, config, tensors))


def refusal(folder: Path, tensors: Tensors = TENSORS, **changes: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        opened(folder, tensors, **changes)
    assert_one_line(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


def test_sizes_and_facts_of_layers(tmp_path: Path) -> None:
    config = opened(tmp_path).config
    assert (config.n_layer, config.n_head, config.n_embd) == (2, 2, 32)
    assert (config.n_positions, config.n_inner, config.vocab_size) == (160, 128, 101)
    assert [config.attention_window(layer) for layer in range(2)] == [None, 8]
    assert [config.attention_scale(layer) for layer in range(2)] == [1.0, 1.0]


def test_queries_keys_and_values_become_one_matrix(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path)
    parts = [TENSORS[KEY.replace("k_proj", f"{part}_proj")].T for part in "qkv"]
    packed = checkpoint.tensor("h.1.attn.c_attn.weight")
    np.testing.assert_array_equal(packed, np.concatenate(parts, axis=1))
    assert packed.flags.c_contiguous
    assert not checkpoint.tensor("h.1.attn.c_attn.bias").any()
    for ours, theirs in (("attn.c_proj", "attn.attention.out_proj"), ("mlp.c_fc", "mlp.c_fc")):
        weight, bias = (TENSORS[f"h.0.{theirs}.{kind}"] for kind in ("weight", "bias"))
        np.testing.assert_array_equal(checkpoint.tensor(f"h.0.{ours}.weight"), weight.T)
        np.testing.assert_array_equal(checkpoint.tensor(f"h.0.{ours}.bias"), bias)


@pytest.mark.parametrize(
    ("changes", "windows"),
    [
        ({"attention_types": [[["local"], 2]]}, [8, 8]),
        ({"attention_types": [[["global"], 1], [["local"], 1]]}, [None, 8]),
        ({"attention_types": [[["local", "global"], 1], [["local"], 0]]}, [8, None]),
        ({"attention_layers": ["local", "global"]}, [8, None]),
        ({"attention_layers": ["local", "global"], "attention_types": None}, [8, None]),
        ({"window_size": 159}, [None, 159]),
        ({"window_size": 160}, [None, None]),
        ({"window_size": None, "attention_types": [[["local"], 2]]}, [None, None]),  # 256
        ({"num_layers": None, "num_hidden_layers": 2}, [None, 8]),
    ],
)
def test_windows_of_the_layers(
    tmp_path: Path, changes: dict[str, Any], windows: list[int | None]
) -> None:
    config = opened(tmp_path, **changes).config
    assert [config.attention_window(layer) for layer in range(2)] == windows
    assert config.has_windows == any(window is not None for window in windows)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"attention_types": [[["global", "local"], 2]]}, "attention_types"),
        ({"attention_types": [[["global", "local"], 10**18]]}, "attention_types"),
        ({"attention_types": [[[], 10**18]]}, "attention_types"),
        ({"attention_types": [[["global", "near"], 1]]}, "attention_types"),
        ({"attention_types": [[["global", ["local"]], 1]]}, "attention_types"),
        ({"attention_types": [["global", "local"]]}, "attention_types"),
        ({"attention_types": [[["global"], 1.0], [["local"], True]]}, "attention_types"),
        ({"attention_types": "global"}, "attention_types"),
        ({"attention_types": None}, "attention_types"),  # the default is for 24 layers
        ({"attention_layers": ["global"]}, "attention_layers"),
        ({"attention_layers": ["global", None]}, "attention_layers"),
        ({"attention_layers": {"0": "local"}}, "attention_layers"),
        ({"window_size": 0}, "window_size = 0"),
        ({"window_size": -8}, "window_size = -8"),
        ({"window_size": 8.0}, "window_size = 8.0"),
        ({"window_size": 10**400}, "window_size"),
        ({"activation_function": "gleu"}, "'gleu'"),
        ({"num_heads": 3}, "hidden_size 32, of which num_heads 3 "),
        ({"layer_norm_epsilon": "small"}, "layer_norm_epsilon"),
        ({"model_type": "gpt_neox"}, "'gpt2' and 'gpt_neo'"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
        (
            {"num_layers": 3, "attention_types": [[["local"], 3]]},
            "num_layers 3, the weights hold 2 layers",
        ),
        ({"tie_word_embeddings": False}, "lm_head.weight"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    assert named in refusal(tmp_path, **changes)


SIZES = {
    "max_position_embeddings": None,
    "hidden_size": None,
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": None,
    "vocab_size": None,
    "window_size": None,
}


@pytest.mark.parametrize("key", SIZES)
def test_a_size_is_named_as_the_file_names_it(tmp_path: Path, key: str) -> None:
    told = refusal(tmp_path / "own", **{key: -1})
    assert f"config.json says {key} = -1; expected a whole number" in told
    if standard := SIZES[key]:
        told = refusal(tmp_path / "standard", **{key: None, standard: -1})
        assert f"config.json says {standard} = -1; expected a whole number" in told


def test_layers_that_are_left_out_are_told_by_the_file_s_key(tmp_path: Path) -> None:
    (note,) = opened(tmp_path, num_layers=1, attention_types=[[["local"], 1]]).notes
    assert "num_layers 1, the weights hold 2 layers" in note


def test_a_missing_part_of_the_attention_is_named_as_the_file_has_it(tmp_path: Path) -> None:
    assert KEY in refusal(tmp_path, {n: t for n, t in TENSORS.items() if n != KEY})


def test_other_tensors_that_are_missing(tmp_path: Path) -> None:
    kept = {name: t for name, t in TENSORS.items() if name != "h.1.ln_2.bias"}
    assert "h.1.ln_2.bias" in refusal(tmp_path, kept)


@pytest.mark.parametrize(
    ("without", "named"),
    [
        ("h.0.attn.attention.out_proj.weight", "h.0.attn.attention.out_proj.weight is missing"),
        ("h.0.attn.attention.out_proj", "h.0.attn.attention.out_proj.weight is missing"),
        ("h.1.attn.attention", "h.1.attn.attention.q_proj.weight is missing"),
    ],
)
def test_what_is_missing_is_named_as_the_file_would_have_it(
    tmp_path: Path, without: str, named: str
) -> None:
    told = refusal(tmp_path, {n: t for n, t in TENSORS.items() if not n.startswith(without)})
    assert f"tensor {named}" in told
    assert "c_attn" not in told
    assert "attn.c_proj" not in told


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("h.0.mlp.c_fc.weight", [100, 32], [128, 32]),
        ("h.0.mlp.c_proj.weight", [32, 100], [32, 128]),
        ("h.1.attn.attention.out_proj.weight", [30, 32], [32, 32]),
        ("h.1.attn.attention.out_proj.bias", [30], [32]),
        ("wpe.weight", [7, 32], [160, 32]),
    ],
)
def test_a_shape_is_told_as_the_file_has_it(
    tmp_path: Path, name: str, shape: list[int], wanted: list[int]
) -> None:
    told = refusal(tmp_path, TENSORS | {name: np.ones(shape, np.float32)})
    assert f"tensor 'transformer.{name}' has shape {shape}; config.json makes it {wanted}" in told


@pytest.mark.parametrize("name", [KEY, KEY.replace("k_proj", "out_proj"), "h.0.mlp.c_fc.weight"])
def test_values_that_are_no_numbers_are_told_by_the_file_s_name(tmp_path: Path, name: str) -> None:
    broken = TENSORS[name].copy()
    broken[1, 2] = np.nan
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, CONFIG, TENSORS | {name: broken}))
    with pytest.raises(CheckpointError) as caught:
        list(map(checkpoint.tensor, checkpoint.config.tensor_shapes()))
    assert_one_line(caught.value, f"'transformer.{name}' holds 1 NaN")


def test_what_is_left_out_is_named_as_the_file_has_it(tmp_path: Path) -> None:
    extra = KEY.replace("k_proj.weight", "out_proj.scale")
    more = TENSORS | {extra: np.ones(3, np.float32)}
    (note,) = open_checkpoint(write_checkpoint(tmp_path, CONFIG, more)).notes
    assert f"'transformer.{extra}'" in note


@pytest.mark.parametrize("shape", [(32, 31), (16, 32), (1024,), ()])
def test_keys_of_another_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert KEY in refusal(tmp_path, TENSORS | {KEY: np.ones(shape, np.float32)})


def test_all_three_of_another_shape(tmp_path: Path) -> None:
    odd = {KEY.replace("k_", f"{part}_"): np.ones((32, 16), np.float32) for part in "qkv"}
    told = refusal(tmp_path, TENSORS | odd)
    assert (
        "h.1.attn.attention.q_proj.weight' has shape [32, 16]; config.json makes it [32, 32]"
        in (told)
    )


def test_integers_among_the_weights(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, CONFIG, TENSORS)
    save_file(TENSORS | {KEY: np.ones((32, 32), np.int8)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert_one_line(caught.value, KEY, "int8", "floats")


@pytest.mark.parametrize("prefix", ["transformer.", "", "module.transformer.", "model."])
def test_whatever_stands_before_the_names(tmp_path: Path, prefix: str) -> None:
    """Masks that old versions saved are of no interest."""
    masks = {
        "h.0.attn.attention.bias": np.ones((1, 1, 160, 160), bool),
        "h.1.attn.attention.masked_bias": np.array(-1e9, np.float32),
    }
    named = {prefix + name: tensor for name, tensor in (TENSORS | masks).items()}
    folder = write_checkpoint(tmp_path, CONFIG, TENSORS)
    save_file(named, folder / "model.safetensors", {"format": "pt"})
    checkpoint = open_checkpoint(folder)
    np.testing.assert_array_equal(
        checkpoint.tensor("h.1.attn.c_attn.weight")[:, 32:64], TENSORS[KEY].T
    )
    assert checkpoint.notes == ()
    assert checkpoint.as_transformers_saves == (prefix in ("transformer.", ""))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats(tmp_path: Path, dtype: str) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, CONFIG, TENSORS, dtype))
    kind = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[dtype]
    expected = TENSORS[KEY].astype(kind).astype(np.float32).T
    packed = checkpoint.tensor("h.1.attn.c_attn.weight")
    np.testing.assert_array_equal(packed[:, 32:64], expected)


def test_sizes_under_two_names_that_contradict(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, num_heads=4, num_attention_heads=2)
    assert checkpoint.config.n_head == 2
    assert_one_line(ValueError(checkpoint.notes[0]), "num_heads 4", "num_attention_heads 2")
    assert checkpoint.raw_config["num_heads"] == 2


def test_what_is_not_said_is_written(tmp_path: Path) -> None:
    """transformers.js, which has no defaults, reads the package's config.json."""
    kinds = [[["global"], 24]]
    config = {"model_type": "gpt_neo", "attention_types": kinds, "vocab_size": 101}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    save_file(TENSORS, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:  # of 24 layers, as the defaults have it
        open_checkpoint(tmp_path)
    assert_one_line(caught.value, "num_layers 24", "hidden_size 2048", "hold 2 layers")


def test_weights_trained_for_something_else(tmp_path: Path) -> None:
    checkpoint = opened(
        tmp_path,
        TENSORS | {"score.weight": np.ones((2, 32), np.float32)},
        architectures=["GPTNeoForSequenceClassification"],
    )
    assert len(checkpoint.notes) == 2
    assert "GPTNeoForSequenceClassification" in checkpoint.notes[0]
    assert "score.weight" in checkpoint.notes[1]
