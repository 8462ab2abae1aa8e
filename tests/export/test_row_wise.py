"""int8 by rows: a row's logits do not depend on what is fed beside or before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from gpt2_edge import Generator
from gpt2_edge_export.export import ExportOptions, export_package
from helpers import random_config, random_tensors, write_checkpoint
from oracle import Oracle

RECIPES = ["int8", "int8-row"]
BY_ROW = {
    "int8": ("attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
    "int8-row": ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
}
MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "heads padded": {"n_embd": 100, "n_head": 4},
    "untied": {"tie_word_embeddings": False},
}
ACTIVATIONS = ["gelu_new", "gelu", "quick_gelu", "silu", "relu", "tanh", "prelu"]


@pytest.fixture(scope="module")
def packages(
    random_package: Callable[..., Path], sample_int8: Path
) -> Callable[[str, str], Generator]:
    """A function (recipe, "sample" or one of MODELS) -> what runs it, made once."""
    made: dict[tuple[str, str], Generator] = {}

    def get(recipe: str, model: str) -> Generator:
        if (recipe, model) not in made:
            if model == "sample" and recipe == "int8":
                package = sample_int8
            else:
                package = random_package(recipe, **MODELS[model])
            made[recipe, model] = Generator.load(package)
        return made[recipe, model]

    return get


def cases() -> list[tuple[str, str]]:
    return [("int8", "sample"), *((recipe, model) for recipe in RECIPES for model in MODELS)]


def prompt(generator: Generator, length: int, seed: int) -> list[int]:
    vocab = generator.manifest.architecture.vocab_size
    return np.random.default_rng(seed).integers(0, vocab, length).tolist()


def batch_logits(generator: Generator, prompts: list[list[int]]) -> list[np.ndarray]:
    """Logits of each prompt in one step of the graph, shorter ones padded on the right."""
    architecture = generator.manifest.architecture
    names = generator.manifest.graph.names
    length = max(map(len, prompts))
    ids, mask = (np.zeros((len(prompts), length), np.int64) for _ in range(2))
    for row, each in enumerate(prompts):
        ids[row, : len(each)], mask[row, : len(each)] = each, 1
    empty = np.zeros((len(prompts), architecture.num_heads, 0, architecture.head_size), np.float32)
    feeds = {
        names.input_ids: ids,
        names.attention_mask: mask,
        names.position_ids: np.tile(np.arange(length), (len(prompts), 1)),
        names.logits_to_keep: np.array([0]),
    }
    for layer in range(architecture.num_layers):
        feeds[names.past_key.format(i=layer)] = empty
        feeds[names.past_value.format(i=layer)] = empty
    logits = generator.session.onnx.run([names.logits], feeds)[0]
    return [logits[row, : len(each)] for row, each in enumerate(prompts)]


@pytest.mark.parametrize(("recipe", "model"), cases())
@pytest.mark.parametrize("lengths", [(48, 48), (48, 20), (17, 33)])
def test_a_prompt_in_a_batch_has_the_logits_that_it_has_alone(
    packages: Callable[[str, str], Generator], recipe: str, model: str, lengths: tuple[int, int]
) -> None:
    generator = packages(recipe, model)
    first, second = (prompt(generator, length, seed) for seed, length in enumerate(lengths))
    alone = [batch_logits(generator, [each])[0] for each in (first, second)]
    together = batch_logits(generator, [first, second])
    swapped = batch_logits(generator, [second, first])[::-1]
    for row in range(2):
        np.testing.assert_allclose(together[row], alone[row], atol=1e-4)
        np.testing.assert_allclose(swapped[row], alone[row], atol=1e-4)
    assert np.abs(alone[0][-1] - alone[1][-1]).max() > 0.1  # they are two prompts


@pytest.mark.parametrize(("recipe", "model"), cases())
@pytest.mark.parametrize("chunk", [1, 7, 16])
def test_a_prompt_in_chunks_has_the_logits_that_it_has_at_once(
    packages: Callable[[str, str], Generator], recipe: str, model: str, chunk: int
) -> None:
    generator = packages(recipe, model)
    ids = prompt(generator, 45, 2)
    expected = batch_logits(generator, [ids])[0]
    for length in (45, 33, 32, 2):
        whole, parts = (generator.session.start(length) for _ in range(2))
        at_once = np.array(whole.prefill(ids[:length]))
        in_chunks = parts.prefill(ids[:length], chunk)
        np.testing.assert_allclose(in_chunks, at_once, atol=1e-4)
        np.testing.assert_allclose(in_chunks, expected[length - 1], atol=1e-4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_outlier_in_one_row_leaves_the_others_alone(tmp_path: Path, recipe: str) -> None:
    """One scale for all rows would round the others to nothing."""
    config = random_config(tie_word_embeddings=False, activation_function="relu")
    tensors = random_tensors(config)
    # The norms level the hidden states, so what is loud is one direction that c_fc amplifies.
    tensors["wte.weight"][100] = 0
    tensors["wte.weight"][100, 3] = 1000
    tensors["h.0.mlp.c_fc.weight"][3] *= 100
    tensors["wte.weight"][:100, 3] = 0
    checkpoint = write_checkpoint(tmp_path / "model", config, tensors)
    options = ExportOptions(recipe=recipe, tokenizer=False)
    package = export_package(checkpoint, tmp_path / "package", options).package
    generator = Generator.load(package.folder)
    loud, quiet = [100] * 20, list(range(20))
    alone = batch_logits(generator, [quiet])[0]
    np.testing.assert_allclose(batch_logits(generator, [loud, quiet])[1], alone, atol=1e-4)


def initializers(package: Path) -> dict[str, np.ndarray]:
    graph = onnx.load(package / "model.onnx").graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


@pytest.mark.parametrize("recipe", RECIPES)
def test_weights_are_signed_and_each_has_a_zero_point_of_0(
    packages: Callable[[str, str], Generator], recipe: str
) -> None:
    package = packages(recipe, "plain").package.folder
    original = Oracle.load(package.parent / "checkpoint").tensors
    stored = initializers(package)
    graph = onnx.load(package / "model.onnx").graph
    products = [node for node in graph.node if node.op_type == "MatMulIntegerToFloat"]
    found = [node.name.removesuffix(".product") for node in products]
    assert found == [f"h.{layer}.{matrix}" for layer in range(2) for matrix in BY_ROW[recipe]]
    assert len({node.input[5] for node in products}) == len(products)  # it cannot share one
    for name, node in zip(found, products, strict=True):
        integers = stored[node.input[1]]
        assert integers.dtype == np.int8
        # Without one, ONNX Runtime writes behind the node's inputs where it makes weights unsigned.
        assert stored[node.input[5]] == np.int8(0)
        weight = original[f"{name}.weight"]
        assert integers.shape == weight.shape  # [in, out]: one scale for each output
        scales = stored[f"{name}.weight.scales"].astype(np.float64)
        assert scales.shape == weight.shape[1:]
        kept = integers * scales
        assert (np.abs(kept - weight) <= np.abs(scales) * 1.05).all()


def with_stored_weights(package: Path) -> Oracle:
    """The model with the weights that the file of a plain random package holds, in float64."""
    oracle, stored = Oracle.load(package.parent / "checkpoint"), initializers(package)
    for name in oracle.tensors:
        if f"{name}.q8" not in stored:
            continue
        packed, scales = stored[f"{name}.q8"], stored[f"{name}.scales"].astype(np.float64)
        if packed.ndim == 2:  # by row: [in, out]
            oracle.tensors[name] = packed * scales
        else:
            rows = (packed.astype(np.float64) - 128) * scales[..., None]
            rows = rows.reshape(len(packed), -1)
            oracle.tensors[name] = rows if name.startswith(("wte", "lm")) else rows.T
    return oracle


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_logits_are_those_of_the_stored_weights(
    random_package: Callable[..., Path], recipe: str, activation: str
) -> None:
    """What is left is rounding activations to 8 bits: half a percent for each layer."""
    package = random_package(recipe, activation_function=activation)
    generator = Generator.load(package)
    ids = prompt(generator, 40, 3)
    expected = with_stored_weights(package).logits(ids)
    logits = generator.logits(ids)
    error = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.02
    # No worse for single rows: each has its own scale.
    rows = np.linalg.norm(logits - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert rows.max() < 0.05


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sign", [1, -1])
def test_activations_all_of_one_sign(tmp_path: Path, activation: str, sign: int) -> None:
    """Inner values that all are large, or all at the activation's least, are not clipped."""
    config = random_config(activation_function=activation)
    tensors = random_tensors(config)
    for layer in range(2):
        tensors[f"h.{layer}.mlp.c_fc.bias"][:] = 3.0 if sign > 0 else -0.75
        tensors[f"h.{layer}.mlp.c_fc.weight"] *= 0.2
    checkpoint = write_checkpoint(tmp_path / "checkpoint", config, tensors)
    options = ExportOptions(recipe="int8-row", tokenizer=False)
    package = export_package(checkpoint, tmp_path / "package", options).package.folder
    ids = list(range(30))
    expected = with_stored_weights(package).logits(ids)
    error = np.linalg.norm(Generator.load(package).logits(ids) - expected)
    assert error < 0.02 * np.linalg.norm(expected)


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu_new", "tanh"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_rows_of_zeros_give_the_bias(tmp_path: Path, recipe: str, activation: str) -> None:
    """Inputs of a product that all are zero: nothing is divided by zero that shows."""
    config = random_config(activation_function=activation)
    tensors = random_tensors(config)
    for norm in ("h.0.ln_1", "h.1.ln_2"):  # inputs of c_attn, and of c_fc
        tensors[f"{norm}.weight"][:] = tensors[f"{norm}.bias"][:] = 0
    tensors["h.0.attn.c_attn.bias"][:] = 0  # so that attention's values are zero too
    tensors["h.1.mlp.c_fc.bias"][:] = 0  # and what comes out of the activation
    checkpoint = write_checkpoint(tmp_path / "checkpoint", config, tensors)
    options = ExportOptions(recipe=recipe, tokenizer=False)
    package = export_package(checkpoint, tmp_path / "package", options).package.folder
    ids = list(range(20))
    logits = Generator.load(package).logits(ids)
    assert np.isfinite(logits).all()
    expected = with_stored_weights(package).logits(ids)
    assert np.linalg.norm(logits - expected) < 0.02 * np.linalg.norm(expected)


def test_a_row_of_zeros_beside_others(tmp_path: Path) -> None:
    """Token 0 embeds as zeros and meets zeros in the norm: its row alone is silent."""
    config = random_config(activation_function="relu")
    tensors = random_tensors(config)
    tensors["wte.weight"][0] = tensors["wpe.weight"][3] = 0
    tensors["h.0.ln_1.bias"][:] = 0
    checkpoint = write_checkpoint(tmp_path / "checkpoint", config, tensors)
    options = ExportOptions(recipe="int8-row", tokenizer=False)
    package = export_package(checkpoint, tmp_path / "package", options).package.folder
    ids = [5, 9, 13, 0, 7, 11]
    logits = Generator.load(package).logits(ids)
    assert np.isfinite(logits).all()
    expected = with_stored_weights(package).logits(ids)
    assert np.linalg.norm(logits - expected) < 0.02 * np.linalg.norm(expected)
