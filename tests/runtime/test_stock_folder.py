"""Folders without a manifest, as optimum-cli writes them, and how they are refused.

The graph is our portable one with what sets it apart taken away: the producer's name, and the
choice of positions that get logits. tests/ecosystem runs what optimum itself wrote.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gpt2_edge import GenerationConfig, Generator, PackageError
from gpt2_edge.files.package import open_package
from gpt2_edge_export.export import ExportOptions, export_package
from helpers import assert_one_line, random_config, write_random_checkpoint

Change = Callable[[onnx.ModelProto], Any]
CLOSE = 1e-4
PROMPT = [5, 17, 99, 3, 42, 8, 63]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    return write_random_checkpoint(folder, random_config())


@pytest.fixture(scope="module")
def fused(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    folder = tmp_path_factory.mktemp("fused") / "package"
    export_package(checkpoint, folder, ExportOptions(recipe="fp32", tokenizer=False))
    return Generator.load(folder)


@pytest.fixture(scope="module")
def made(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a graph like optimum's and what optimum puts beside it."""
    root = tmp_path_factory.mktemp("stock")
    options = ExportOptions(recipe="fp32", flavour="portable", tokenizer=False)
    package = export_package(checkpoint, root / "package", options).package.folder
    model = onnx.load(package / "model.onnx")
    model.producer_name = "pytorch"
    for constant in model.graph.initializer:
        if constant.name == "logits_to_keep":  # 0: every position gets logits
            constant.CopyFrom(numpy_helper.from_array(np.array([0]), "logits_to_keep"))
    kept = [entry for entry in model.graph.input if entry.name != "logits_to_keep"]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    logits = next(entry for entry in model.graph.output if entry.name == "logits")
    logits.type.tensor_type.shape.dim[1].dim_param = "sequence_length"
    folder = root / "stock"
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    for name in ("config.json", "generation_config.json"):
        shutil.copy(package / name, folder / name)
    return folder


@pytest.fixture
def stock(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "stock"))


def change_config(folder: Path, name: str = "config.json", **changes: Any) -> None:
    path = folder / name
    raw = json.loads(path.read_text("utf-8")) | changes
    raw = {key: value for key, value in raw.items() if value is not None}
    path.write_text(json.dumps(raw), "utf-8")


def change_graph(folder: Path, change: Change) -> None:
    model = onnx.load(folder / "model.onnx")
    change(model)
    onnx.save(model, folder / "model.onnx")


def refuse(folder: Path, *parts: str) -> None:
    with pytest.raises(PackageError) as raised:
        Generator.load(folder)
    assert_one_line(raised.value, folder, *parts)


def freeze_input(name: str) -> Change:
    """Make the input [1, 1] a constant."""

    def change(model: onnx.ModelProto) -> None:
        (entry,) = (each for each in model.graph.input if each.name == name)
        model.graph.input.remove(entry)
        model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1), np.int64), name))

    return change


def add_input(name: str) -> Change:
    entry = helper.make_tensor_value_info(name, TensorProto.BOOL, [1])
    return lambda model: model.graph.input.append(entry)


def test_logits_equal_the_fused_package_s(made: Path, fused: Generator) -> None:
    stock = Generator.load(made)
    assert stock.logits(PROMPT).shape == (len(PROMPT), 101)
    np.testing.assert_allclose(stock.logits(PROMPT), fused.logits(PROMPT), rtol=0, atol=CLOSE)


def test_greedy_tokens_equal_the_fused_package_s(made: Path, fused: Generator) -> None:
    config = GenerationConfig(max_new_tokens=40, ignore_eos=True)
    expected = fused.generate(PROMPT, config).ids
    assert len(expected) == 40
    assert Generator.load(made).generate(PROMPT, config).ids == expected


def test_what_the_manifest_would_say(made: Path, fused: Generator) -> None:
    package = open_package(made)
    manifest = package.manifest
    assert manifest.architecture == fused.manifest.architecture
    assert manifest.graph.cache == "concat"
    assert manifest.graph.cache_dtype == "float32"
    assert manifest.tokenizer is None
    assert (manifest.bos_token_id, manifest.eos_token_ids) == (0, (0,))
    assert manifest.created_by == "pytorch"
    assert package.total_bytes == sum(file.stat().st_size for file in made.iterdir())


def test_generation_config_comes_before_config(stock: Path) -> None:
    change_config(stock, eos_token_id=7, bos_token_id=8)
    change_config(stock, "generation_config.json", eos_token_id=[5, 6, 500], bos_token_id=4)
    manifest = open_package(stock).manifest
    assert (manifest.bos_token_id, manifest.eos_token_ids) == (4, (5, 6))
    (stock / "generation_config.json").unlink()
    manifest = open_package(stock).manifest
    assert (manifest.bos_token_id, manifest.eos_token_ids) == (8, (7,))


def test_the_tokenizer_beside_it_is_used(stock: Path, sample_checkpoint: Path) -> None:
    shutil.copy(sample_checkpoint / "tokenizer.json", stock / "tokenizer.json")
    generator = Generator.load(stock)
    assert generator.tokenizer is not None
    assert generator.tokenizer.vocab_size == 8192


def test_the_context_may_be_called_n_ctx(stock: Path) -> None:
    change_config(stock, n_positions=None, n_ctx=64)
    assert open_package(stock).manifest.architecture.context_length == 64


def test_there_is_nothing_to_verify(stock: Path) -> None:
    with pytest.raises(PackageError) as raised:
        open_package(stock).check_hashes()
    assert_one_line(raised.value, stock, "no manifest.json", "--engine optimum")


def test_a_manifest_is_read_where_there_is_one(stock: Path) -> None:
    (stock / "manifest.json").write_text("{}")
    refuse(stock, "manifest.json has no format_version")


@pytest.mark.parametrize("name", ["model.onnx", "config.json"])
def test_a_folder_without_a_graph_or_a_configuration(stock: Path, name: str) -> None:
    (stock / name).unlink()
    refuse(stock, "has no manifest.json")


@pytest.mark.parametrize("flavour", ["fused", "portable"])
def test_our_own_package_that_lost_its_manifest(
    checkpoint: Path, tmp_path: Path, flavour: str
) -> None:
    folder = tmp_path / "package"
    options = ExportOptions(recipe="fp32", flavour=flavour, tokenizer=False)
    export_package(checkpoint, folder, options)
    (folder / "manifest.json").unlink()
    refuse(folder, "has no manifest.json", "copy or export the package again")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"model_type": "llama"}, ("config.json", "'llama'", "'gpt2'")),
        ({"model_type": None}, ("config.json", "None")),
        ({"n_layer": "2"}, ("config.json", "n_layer = '2'")),
        ({"n_embd": 0}, ("config.json", "n_embd = 0")),
        ({"n_positions": None}, ("config.json", "n_positions = None")),
        ({"n_head": 3}, ("config.json", "n_embd 32", "n_head 3")),
        ({"n_head": 4}, ("model.onnx", "4 heads of 8")),
        ({"n_layer": 1}, ("model.onnx needs the input 'past_key_values.1.", "n_layer 1")),
        ({"n_layer": 3}, ("model.onnx has no past_key_values.2.key",)),
        ({"vocab_size": 102}, ("model.onnx", "logits of 101 tokens", "vocab_size 102")),
    ],
)
def test_a_configuration_that_does_not_fit(
    stock: Path, changes: dict[str, Any], parts: tuple[str, ...]
) -> None:
    change_config(stock, **changes)
    refuse(stock, *parts)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_configuration_that_is_not_json(stock: Path, content: bytes) -> None:
    (stock / "config.json").write_bytes(content)
    refuse(stock, "config.json")


def test_a_graph_that_cannot_be_loaded(stock: Path) -> None:
    (stock / "model.onnx").write_bytes(b"no graph")
    refuse(stock, "model.onnx cannot be loaded: it is no ONNX file")


def test_a_graph_without_a_cache(stock: Path) -> None:
    def without_presents(model: onnx.ModelProto) -> None:
        kept = [entry for entry in model.graph.output if entry.name == "logits"]
        del model.graph.output[:]
        model.graph.output.extend(kept)

    change_graph(stock, without_presents)
    refuse(stock, "no key-value cache", "--task text-generation-with-past")


def test_a_graph_without_a_mask(stock: Path) -> None:
    def rename(model: onnx.ModelProto) -> None:
        for entry in model.graph.input:
            entry.name = entry.name.replace("attention_mask", "mask")
        for node in model.graph.node:
            node.input[:] = [name.replace("attention_mask", "mask") for name in node.input]

    change_graph(stock, rename)
    refuse(stock, "has no attention_mask")


def test_an_input_that_nobody_knows(stock: Path) -> None:
    change_graph(stock, add_input("use_cache_branch"))  # merged graphs of older optimums
    refuse(stock, "needs the input 'use_cache_branch'", "--task text-generation-with-past")


def test_logits_in_float16(stock: Path) -> None:
    def halve(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.output[:] = ["full" if name == "logits" else name for name in node.output]
        cast = helper.make_node("Cast", ["full"], ["logits"], to=TensorProto.FLOAT16)
        model.graph.node.append(cast)
        (logits,) = (entry for entry in model.graph.output if entry.name == "logits")
        logits.type.tensor_type.elem_type = TensorProto.FLOAT16

    change_graph(stock, halve)
    refuse(stock, "float16", "logits", "--dtype fp16")


def test_a_graph_without_position_ids(stock: Path) -> None:
    """Old exports count the positions themselves."""
    change_graph(stock, freeze_input("position_ids"))
    generator = Generator.load(stock)
    assert generator.manifest.graph.names.position_ids is None
    assert generator.logits([5]).shape == (1, 101)


NEO = {
    "model_type": "gpt_neo",
    "num_layers": 2,
    "num_heads": 2,
    "hidden_size": 32,
    "max_position_embeddings": 64,
    "vocab_size": 101,
}


def test_a_gpt_neo_s_sizes_have_its_own_names(stock: Path, fused: Generator) -> None:
    (stock / "config.json").write_text(json.dumps(NEO), "utf-8")
    generator = Generator.load(stock)
    assert generator.context_length == 64
    np.testing.assert_allclose(generator.logits(PROMPT), fused.logits(PROMPT), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("name", [key for key in NEO if key not in ("model_type", "vocab_size")])
def test_a_gpt_neo_without_a_size(stock: Path, name: str) -> None:
    """GPT-2's names say nothing there."""
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": 64}
    content = {key: value for key, value in (NEO | sizes).items() if key != name}
    (stock / "config.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(PackageError) as caught:
        open_package(stock)
    assert_one_line(caught.value, "config.json", f"{name} = None")
