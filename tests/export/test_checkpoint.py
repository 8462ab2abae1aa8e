"""Checkpoints in every layout that there is, and one line for those that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gpt2_edge.errors import CheckpointError, ExportError
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.output.generation_file import read_generation_file
from helpers import (
    assert_one_line,
    random_config,
    random_tensors,
    tensor_shapes,
    write_checkpoint,
    write_random_checkpoint,
)

CONFIG = random_config()


def assert_holds(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    """The checkpoint in `folder` gives exactly `tensors`, as float32."""
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config.tensor_shapes().keys() == tensors.keys()
    for name, expected in tensors.items():
        actual = checkpoint.tensor(name)
        assert actual.dtype == np.float32
        np.testing.assert_array_equal(actual, expected, err_msg=name)


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("shards", [1, 3])
def test_names_and_shards(tmp_path: Path, prefix: bool, shards: int) -> None:
    write_random_checkpoint(tmp_path, CONFIG, prefix=prefix, shards=shards)
    assert_holds(tmp_path, random_tensors(CONFIG))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_widened(tmp_path: Path, dtype: Any) -> None:
    write_random_checkpoint(tmp_path, CONFIG, dtype=np.dtype(dtype).name)
    rounded = {k: v.astype(dtype).astype(np.float32) for k, v in random_tensors(CONFIG).items()}
    assert any((rounded[k] != v).any() for k, v in random_tensors(CONFIG).items())
    assert_holds(tmp_path, rounded)


def test_untied_head_is_read(tmp_path: Path) -> None:
    config = random_config(tie_word_embeddings=False)
    write_random_checkpoint(tmp_path, config)
    assert_holds(tmp_path, random_tensors(config))


def test_head_of_a_tied_model_is_not_read(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    write_checkpoint(tmp_path, CONFIG, tensors | {"lm_head.weight": tensors["wte.weight"]})
    assert_holds(tmp_path, tensors)


@pytest.mark.parametrize("prefix", [True, False])
def test_masks_of_old_checkpoints_are_ignored(tmp_path: Path, prefix: bool) -> None:
    tensors = random_tensors(CONFIG)
    masks = {
        "h.0.attn.bias": np.tri(64, dtype=np.float32)[None, None],
        "h.0.attn.masked_bias": np.float32([-1e4]),
    }
    write_checkpoint(tmp_path, CONFIG, tensors | masks, prefix=prefix)
    assert_holds(tmp_path, tensors)


def test_special_tokens_beyond_the_vocabulary_are_dropped(tmp_path: Path) -> None:
    config = random_config(eos_token_id=[50256, 7], bos_token_id=50256)
    write_random_checkpoint(tmp_path, config)
    special = read_generation_file(open_checkpoint(tmp_path)).special
    assert (special.bos, special.eos) == (None, (7,))


def test_activation_can_be_overridden(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path, random_config(activation_function="mystery"))
    checkpoint = open_checkpoint(tmp_path, activation_function="relu")
    assert checkpoint.config.activation_function == "relu"
    assert checkpoint.raw_config["activation_function"] == "relu"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("TFGPT2LMHeadModel", False),
        ("FlaxGPT2LMHeadModel", False),
        ("FlaxGPT2DoubleHeadsModel", False),
        ("TFGPT2ForSequenceClassification", True),
        ("TFlaxGPT2LMHeadModel", True),
        (5, True),
    ],
)
def test_the_class_of_another_framework_is_a_language_model_too(
    tmp_path: Path, name: object, told: bool
) -> None:
    folder = write_random_checkpoint(tmp_path, random_config(architectures=[name]))
    notes = open_checkpoint(folder).notes
    assert [str(name) in note for note in notes] == [True] * told


def test_no_config(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path, CONFIG)
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert_one_line(caught.value, tmp_path, "config.json")


@pytest.mark.parametrize("name", list(tensor_shapes(random_config(tie_word_embeddings=False))))
def test_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    config = random_config(tie_word_embeddings=False)
    tensors = random_tensors(config)
    del tensors[name]
    write_checkpoint(tmp_path, config, tensors)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert_one_line(caught.value, tmp_path, name, "missing")


def test_wrong_shape_is_named(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    tensors["h.1.mlp.c_fc.weight"] = tensors["h.1.mlp.c_fc.weight"].T.copy()
    write_checkpoint(tmp_path, CONFIG, tensors)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert_one_line(caught.value, "h.1.mlp.c_fc.weight", "[128, 32]", "[32, 128]")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_damaged_weights_stop_the_export(tmp_path: Path, value: float) -> None:
    tensors = random_tensors(CONFIG)
    tensors["h.1.attn.c_proj.weight"][3, 5] = value
    write_checkpoint(tmp_path / "checkpoint", CONFIG, tensors)
    with pytest.raises(CheckpointError) as caught:
        export_package(
            tmp_path / "checkpoint", tmp_path / "package", ExportOptions(tokenizer=False)
        )
    assert_one_line(caught.value, tmp_path / "checkpoint", "h.1.attn.c_proj.weight", "NaN")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["wpe.weight", "h.1.mlp.c_fc.weight"])
def test_weights_beyond_float16_are_one_line_without_a_warning(tmp_path: Path, name: str) -> None:
    tensors = random_tensors(CONFIG)
    tensors[name][3, 5] = 1e5
    write_checkpoint(tmp_path / "checkpoint", CONFIG, tensors)
    options = ExportOptions(recipe="fp16", tokenizer=False)
    with pytest.raises(ExportError) as caught:
        export_package(tmp_path / "checkpoint", tmp_path / "package", options)
    assert_one_line(caught.value, name, "too large for float16")


def test_integer_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    tensors = random_tensors(CONFIG)
    write_checkpoint(tmp_path, CONFIG, tensors)
    save_file(tensors | {"wpe.weight": np.ones((64, 32), np.int8)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path).tensor("wpe.weight")
    assert_one_line(caught.value, "wpe.weight", "int8")


@pytest.mark.parametrize("size", [0, 4, 100, 20_000])
def test_truncated_file_is_named(tmp_path: Path, size: int) -> None:
    write_random_checkpoint(tmp_path, CONFIG)
    file = tmp_path / "model.safetensors"
    assert file.stat().st_size > 20_000
    os.truncate(file, size)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert_one_line(caught.value, file)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path, CONFIG, shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert_one_line(caught.value, "model.safetensors.index.json", "model-00002-of-00003")


@pytest.mark.parametrize("index", ["{", "{}", '{"weight_map": {}}', '{"weight_map": []}'])
def test_index_without_shards(tmp_path: Path, index: str) -> None:
    write_random_checkpoint(tmp_path, CONFIG, shards=2)
    (tmp_path / "model.safetensors.index.json").write_text(index, "utf-8")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert_one_line(caught.value, tmp_path / "model.safetensors.index.json")


def test_folder_without_weights(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path, CONFIG)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert_one_line(caught.value, tmp_path, "model.safetensors", "pytorch_model.bin")


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path / "nothing")
    assert_one_line(caught.value, tmp_path / "nothing", "no such folder")


def test_file_instead_of_its_folder(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path, CONFIG)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path / "model.safetensors")
    assert_one_line(caught.value, tmp_path / "model.safetensors", "folder")
