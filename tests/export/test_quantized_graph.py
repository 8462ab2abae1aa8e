"""int8 and int4 graphs of random weights: what is stored, and what it computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from gpt2_edge import Generator
from gpt2_edge.files.manifest_file import read_manifest
from oracle import Oracle

RECIPES = ("int8", "int8-row", "int4", "int4-small")
WIDTHS: dict[str, dict[str, Any]] = {
    "32": {},
    "48": {"n_embd": 48, "n_head": 2},
    "100, heads padded": {"n_embd": 100, "n_head": 4},
    "240": {"n_embd": 240, "n_head": 5},
    "inner 72": {"n_inner": 72},
    "untied": {"tie_word_embeddings": False},
}
# A rounded weight is off by at most half a step of its block, on average by a step / sqrt(12).
LARGEST_WEIGHT_ERROR = {8: 0.008, 4: 0.13}


def initializers(package: Path) -> dict[str, np.ndarray]:
    graph = onnx.load(package / "model.onnx").graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def dequantized(stored: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The matrix `name` [out, in], padded to whole blocks, from what the file holds."""
    scales = stored[f"{name}.scales"].astype(np.float64)
    if scales.ndim == 1:  # one scale an output, and [in, out]
        return stored[f"{name}.q8"].astype(np.float64).T * scales[:, None]
    packed, zero_point = stored.get(f"{name}.q8"), 128
    if packed is None:
        packed, zero_point = stored[f"{name}.q4"], 8
        packed = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:2], -1)
    values = (packed.astype(np.float64) - zero_point) * scales[..., None]
    return values.reshape(len(values), -1)


def bits_of(stored: dict[str, np.ndarray], name: str) -> int | None:
    """Bits of the quantized matrix `name`; None where it is stored as floats."""
    return next((bits for bits in (4, 8) if f"{name}.q{bits}" in stored), None)


def stored_weights(package: Path, oracle: Oracle) -> dict[str, np.ndarray]:
    """The tensors of the checkpoint as the package's graph has them."""
    stored, config = initializers(package), oracle.config
    heads = config["n_head"]
    size = config["n_embd"] // heads
    padded = read_manifest(package).architecture.head_size
    tensors = {}
    for name, original in oracle.tensors.items():
        if bits_of(stored, name) is None:
            tensors[name] = original
        elif name in ("wte.weight", "lm_head.weight"):
            tensors[name] = dequantized(stored, name)[:, : original.shape[1]]
        else:
            weight = dequantized(stored, name).T
            if name.endswith("attn.c_attn.weight"):
                weight = weight.reshape(len(weight), 3, heads, padded)[..., :size]
                weight = weight.reshape(len(weight), -1)
            elif name.endswith("attn.c_proj.weight"):
                weight = weight[: heads * padded].reshape(heads, padded, -1)[:, :size]
                weight = weight.reshape(heads * size, -1)
            # By row, a few columns fill up the matrix.
            tensors[name] = weight[: len(original), : original.shape[1]]
    return tensors


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_graph_computes_the_stored_weights(
    random_package: Callable[..., Path], recipe: str, width: str
) -> None:
    package = random_package(recipe, **WIDTHS[width])
    oracle = Oracle.load(package.parent / "checkpoint")
    tensors = stored_weights(package, oracle)
    quantized = [name for name in tensors if tensors[name] is not oracle.tensors[name]]
    tables = 2 if width == "untied" else 1
    assert len(quantized) == tables + 4 * oracle.config["n_layer"]
    for name in quantized:
        original = oracle.tensors[name]
        assert tensors[name].shape == original.shape
        error = np.abs(tensors[name] - original).max() / np.abs(original).max()
        bits = bits_of(initializers(package), name)
        assert bits is not None
        assert 0 < error < LARGEST_WEIGHT_ERROR[bits], name

    ids = np.random.default_rng(1).integers(0, oracle.config["vocab_size"], 32).tolist()
    expected = Oracle(oracle.config, tensors).logits(ids)
    logits = Generator.load(package).logits(ids)
    # What is left is the int8 rounding of activations, block by block: about half a percent for
    # each of the layers.
    error = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
    assert error < 0.03
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_manifest_states_the_blocks_of_the_graph(
    random_package: Callable[..., Path], recipe: str, width: str
) -> None:
    package = random_package(recipe, **WIDTHS[width])
    described = read_manifest(package).recipe
    nodes = [
        (node.name, {a.name: a.i for a in node.attribute})
        for node in onnx.load(package / "model.onnx").graph.node
        if node.op_type in ("MatMulNBits", "GatherBlockQuantized", "MatMulIntegerToFloat")
    ]
    # The embedding in one operator, or else by the head's bytes; the head; four for each layer.
    assert len(nodes) == 1 + 4 * 2 + any(name == "tokens" for name, _ in nodes)
    for name, attributes in nodes:
        group = name.removesuffix(".product").split(".", 2)[-1]
        stated = described[group if name.startswith("h.") else "embedding_and_head"]
        if "bits" in attributes:
            assert {key: attributes[key] for key in ("bits", "block_size")} == stated, name
        else:
            assert stated == {"bits": 8}, name


@pytest.mark.parametrize("recipe", RECIPES)
def test_tied_table_is_stored_once(random_package: Callable[..., Path], recipe: str) -> None:
    tables = stored_tables(random_package(recipe))
    assert len(tables) == 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_untied_tables_are_two(random_package: Callable[..., Path], recipe: str) -> None:
    tables = stored_tables(random_package(recipe, tie_word_embeddings=False))
    assert len(tables) == 2
    assert tables[0].tobytes() != tables[1].tobytes()


def test_tied_fp32_table_is_stored_once(random_package: Callable[..., Path]) -> None:
    package = random_package("fp32")
    shapes = [array.shape for array in initializers(package).values()]
    assert shapes.count((101, 32)) == 1
    assert shapes.count((32, 101)) == 0


def stored_tables(package: Path) -> list[np.ndarray]:
    """Integer initializers with as many rows as the vocabulary, which no other matrix has."""
    return [
        array
        for array in initializers(package).values()
        if array.dtype == np.uint8 and array.shape[0] == 101
    ]


@pytest.mark.parametrize(
    ("recipe", "table", "linear"),
    [
        # Of the four matrices (3, 1, 4 and 4 parts of 12) c_attn is in smaller blocks.
        ("int4", 1 + 2 / 128, 4 / 8 + 3 / 12 * 2 / 32 + 9 / 12 * 2 / 128),
        ("int8", 1 + 2 / 32, 1 + 3 / 12 * 2 / 16),
        ("fp32", 4, 4),
    ],
)
def test_size_of_the_sample_is_what_the_formats_cost(
    request: pytest.FixtureRequest,
    sample_checkpoint: Path,
    recipe: str,
    table: float,
    linear: float,
) -> None:
    package: Path = request.getfixturevalue(f"sample_{recipe}")
    tensors = Oracle.load(sample_checkpoint).tensors
    sizes = {name: tensor.size for name, tensor in tensors.items()}
    matrices = sum(size for name, size in sizes.items() if name[0] == "h" and size > 4096)
    positions = 4 if recipe == "fp32" else 2
    others = sum(sizes.values()) - matrices - sizes["wte.weight"] - sizes["wpe.weight"]
    expected = sizes["wte.weight"] * table + matrices * linear + others * 4
    expected += sizes["wpe.weight"] * positions
    actual = sum(file.stat().st_size for file in package.glob("model.onnx*"))
    graph_itself = 120_000  # with the scales of outputs and the head's bias
    assert expected < actual < expected + graph_itself


def test_block_size_asked_for_is_used(tmp_path: Path, sample_checkpoint: Path) -> None:
    from gpt2_edge_export.export import ExportOptions, export_package

    options = ExportOptions(recipe="int4", block_size=128, calibration=False, report=False)
    package = export_package(sample_checkpoint, tmp_path / "package", options).package
    assert package.manifest.recipe["mlp.c_proj"] == {"bits": 4, "block_size": 128}
    assert initializers(package.folder)["wte.weight.scales"].shape == (8192, 2)


@pytest.mark.parametrize("flavour", ["fused", "portable"])
def test_integer_products_have_whole_columns(
    random_package: Callable[..., Path], flavour: str
) -> None:
    # ONNX Runtime before 1.25 computes an odd rest of columns wrong on a processor with AMX.
    package = random_package("int8-row", flavour=flavour, vocab_size=203, **WIDTHS["inner 72"])
    graph = onnx.load(package / "model.onnx").graph
    widths = {tensor.name: tensor.dims[-1] for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type.startswith("MatMulInteger")]
    assert products
    assert {widths[node.input[1]] % 16 for node in products} == {0}
    ids = np.random.default_rng(1).integers(0, 203, 40).tolist()
    oracle = Oracle.load(package.parent / "checkpoint")
    expected, logits = oracle.logits(ids), Generator.load(package).logits(ids)
    assert logits.shape == expected.shape
    assert np.corrcoef(logits[:, -1], expected[:, -1])[0, 1] > 0.99
