"""The weights are found under any prefix, and what is left out is said."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from gpt2_edge import Generator
from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.export import ExportOptions, export_package
from helpers import Tensors, assert_one_line, random_config, random_tensors
from oracle import Oracle

CONFIG = random_config()
TENSORS = random_tensors(CONFIG)
UNTIED = random_config(tie_word_embeddings=False)


def write(folder: Path, tensors: Tensors, config: dict[str, Any] = CONFIG) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def under(prefix: str, tensors: Tensors = TENSORS) -> Tensors:
    return {prefix + name: value for name, value in tensors.items()}


def assert_holds(folder: Path, tensors: Tensors = TENSORS) -> None:
    checkpoint = open_checkpoint(folder)
    for name, expected in tensors.items():
        np.testing.assert_array_equal(checkpoint.tensor(name), expected, err_msg=name)
    assert checkpoint.notes == ()


def refused(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert_one_line(caught.value)
    assert len(str(caught.value)) < 1000
    return caught.value


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_a_table_that_is_saved_as_the_head_alone(tmp_path: Path, prefix: str) -> None:
    """As safetensors.torch.save_model does with a tied model, of whose two names it keeps one."""
    held = under("transformer.")
    held["lm_head.weight"] = held.pop("transformer.wte.weight")
    assert_holds(write(tmp_path, under(prefix, held)))
    untied = {**CONFIG, "tie_word_embeddings": False}
    error = refused(write(tmp_path, under(prefix, held), untied))
    assert_one_line(error, "wte.weight is missing")


PARTS = ["module.", "_orig_mod.", "model.", "transformer."]
PREFIXES = ["".join(parts) for count in range(4) for parts in itertools.permutations(PARTS, count)]


@pytest.mark.parametrize("prefix", [*PREFIXES, "net.0.gpt.", "transformer._orig_mod."])
def test_weights_under_a_prefix(tmp_path: Path, prefix: str) -> None:
    assert_holds(write(tmp_path, under(prefix)))


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model."])
@pytest.mark.parametrize("body", ["", "transformer."])
def test_head_under_a_prefix(tmp_path: Path, prefix: str, body: str) -> None:
    tensors = random_tensors(UNTIED)
    named = {
        prefix + ("" if name == "lm_head.weight" else body) + name: value
        for name, value in tensors.items()
    }
    assert_holds(write(tmp_path, named, UNTIED), tensors)


def test_wrappers_inside_the_names(tmp_path: Path) -> None:
    """torch.compile, FSDP and activation checkpointing of single blocks."""
    named = {}
    for name, value in under("transformer.").items():
        for part in ("h.0.", "h.1."):
            name = name.replace(part, f"{part}_orig_mod._checkpoint_wrapped_module.")
        named[f"_fsdp_wrapped_module.{name}"] = value
    assert_holds(write(tmp_path, named))


def test_prefix_in_a_whole_export(tmp_path: Path) -> None:
    write(tmp_path / "checkpoint", under("_orig_mod.module.transformer."))
    options = ExportOptions(recipe="fp32", tokenizer=False)
    package = export_package(tmp_path / "checkpoint", tmp_path / "package", options).package
    ids = list(range(20))
    expected = Oracle(CONFIG, TENSORS).logits(ids)
    np.testing.assert_allclose(Generator.load(package.folder).logits(ids), expected, atol=2e-5)


@pytest.mark.parametrize("prefixes", [("ema.", "model."), ("", "module.model."), ("a.", "b.")])
def test_several_models_in_one_file(tmp_path: Path, prefixes: tuple[str, str]) -> None:
    first, second = (under(prefix) for prefix in prefixes)
    assert_one_line(
        refused(write(tmp_path, first | second)),
        "several models",
        *(repr(f"{prefix}wte.weight") for prefix in prefixes),
    )


def test_one_name_with_and_without_a_wrapper(tmp_path: Path) -> None:
    write(tmp_path, under("transformer.") | under("module.transformer."))
    assert_one_line(refused(tmp_path), "both", "'module.transformer.")


def test_the_name_that_transformers_takes_comes_before_others(tmp_path: Path) -> None:
    other = {name: value + 1 for name, value in TENSORS.items()}
    write(tmp_path, under("transformer.") | under("ema.", other))
    checkpoint = open_checkpoint(tmp_path)
    np.testing.assert_array_equal(checkpoint.tensor("wte.weight"), TENSORS["wte.weight"])
    (note,) = checkpoint.notes
    assert "'ema." in note


def test_what_is_there_is_shown_where_something_is_missing(tmp_path: Path) -> None:
    write(tmp_path, {"decoder.embed.weight": TENSORS["wte.weight"]})
    assert_one_line(refused(tmp_path), "wte.weight is missing", "'decoder.embed.weight'")
    gamma = {name.replace("ln_1.weight", "ln_1.gamma"): v for name, v in TENSORS.items()}
    write(tmp_path, under("transformer.", gamma))
    assert_one_line(refused(tmp_path), "h.0.ln_1.weight is missing", "h.0.ln_1.gamma")


@pytest.mark.parametrize("n_layer", [3, 12, 1000])
def test_more_layers_than_weights(tmp_path: Path, n_layer: int) -> None:
    write(tmp_path, under("transformer."), CONFIG | {"n_layer": n_layer})
    assert_one_line(refused(tmp_path), f"n_layer {n_layer}", "hold 2 layers")


def test_fewer_layers_than_weights(tmp_path: Path) -> None:
    config = CONFIG | {"n_layer": 1}
    write(tmp_path, under("transformer."), config)
    checkpoint = open_checkpoint(tmp_path)
    (note,) = checkpoint.notes
    assert "n_layer 1" in note
    assert "hold 2 layers" in note
    assert len(checkpoint.config.tensor_shapes()) == 12 + 4


def test_layer_with_a_number_of_thousands_of_digits(tmp_path: Path) -> None:
    write(tmp_path, under("transformer.") | {f"transformer.h.{'9' * 5000}.x": TENSORS["ln_f.bias"]})
    assert len(open_checkpoint(tmp_path).notes) == 1


@pytest.mark.parametrize(
    ("extra", "architecture"),
    [
        ("score.weight", "GPT2ForSequenceClassification"),
        ("classifier.weight", "GPT2ForTokenClassification"),
        ("multiple_choice_head.summary.weight", "GPT2DoubleHeadsModel"),
        ("v_head.summary.weight", "GPT2LMHeadModel"),
        ("transformer.h.1.crossattention.c_attn.weight", "GPT2LMHeadModel"),
    ],
)
def test_what_no_language_model_has_is_noted(tmp_path: Path, extra: str, architecture: str) -> None:
    tensors = under("transformer.") | {extra: np.zeros((3, 32), np.float32)}
    write(tmp_path / "c", tensors, CONFIG | {"architectures": [architecture]})
    options = ExportOptions(recipe="fp32", tokenizer=False)
    notes = export_package(tmp_path / "c", tmp_path / "package", options).notes
    assert sum(extra in note for note in notes) == 1
    assert any(architecture in note for note in notes) == ("For" in architecture)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_head_that_differs_from_the_table_it_is_tied_to(tmp_path: Path, dtype: str) -> None:
    same = under("transformer.") | {"lm_head.weight": TENSORS["wte.weight"].copy()}
    assert open_checkpoint(write(tmp_path, same)).notes == ()
    head = TENSORS["wte.weight"][::-1].astype(dtype)
    write(tmp_path, under("transformer.") | {"lm_head.weight": head})
    (note,) = open_checkpoint(tmp_path).notes
    assert "tie_word_embeddings" in note
    assert "lm_head.weight" in note


def test_last_number_of_a_large_head_counts(tmp_path: Path) -> None:
    config = random_config(n_embd=512, n_head=8, n_layer=1, vocab_size=1001)  # 2 MB
    tensors = random_tensors(config)
    head = tensors["wte.weight"].copy()
    write(tmp_path, tensors | {"lm_head.weight": head}, config)
    assert open_checkpoint(tmp_path).notes == ()
    head[-1, -1] += 1
    write(tmp_path, tensors | {"lm_head.weight": head}, config)
    assert len(open_checkpoint(tmp_path).notes) == 1


def test_untied_without_a_head(tmp_path: Path) -> None:
    write(tmp_path, under("transformer."), UNTIED)
    assert_one_line(refused(tmp_path), "lm_head.weight is missing", "set it to true")


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight",
        "transformer.h.0.attn.c_attn.lora_A",
        "transformer.h.0.attn.c_attn.base_layer.weight",
        "transformer.h.0.attn.c_attn.lora_embedding_A",
    ],
)
def test_adapter_that_is_not_merged(tmp_path: Path, name: str) -> None:
    write(tmp_path, under("transformer.") | {name: np.zeros((4, 4), np.float32)})
    assert_one_line(refused(tmp_path), name, "merge_and_unload")


@pytest.mark.parametrize("name", ["qweight", "SCB", "weight.absmax", "g_idx"])
def test_weights_that_are_quantized_already(tmp_path: Path, name: str) -> None:
    tensors = under("transformer.")
    weight = "transformer.h.0.attn.c_attn.weight"
    tensors[weight] = np.zeros(tensors[weight].shape, np.int8)
    tensors[weight.replace("weight", name)] = np.ones(96, np.float32)
    assert_one_line(refused(write(tmp_path, tensors)), name, "unquantized")


@pytest.mark.optimum
@pytest.mark.parametrize("changes", [{}, {"n_layer": 1}, {"lm_head": True}, {"score": True}])
def test_what_is_taken_is_what_transformers_takes(tmp_path: Path, changes: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tensors = under("transformer.")
    if "lm_head" in changes:
        tensors["lm_head.weight"] = TENSORS["wte.weight"][::-1].copy()
    if "score" in changes:
        tensors["score.weight"] = np.ones((3, 32), np.float32)
    config = CONFIG | {key: value for key, value in changes.items() if key == "n_layer"}
    write(tmp_path / "c", tensors, config)
    model = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "c").eval()
    options = ExportOptions(recipe="fp32", tokenizer=False)
    package = export_package(tmp_path / "c", tmp_path / "package", options).package
    ids = list(range(24))
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(Generator.load(package.folder).logits(ids), expected, atol=2e-5)
