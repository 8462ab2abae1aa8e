"""--engine optimum: the ecosystem's stock export, packaged like ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import ExportError, MissingDependencyError, install_hint
from gpt2_edge.measure.selftest import run_self_test
from gpt2_edge_export.export import ExportOptions, export_package
from helpers import assert_one_line, random_config, random_tensors, write_random_checkpoint
from oracle import Oracle

OPTIMUM = ExportOptions(recipe="fp32", engine="optimum", report=False)


@pytest.fixture(scope="module")
def package(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("optimum.exporters.onnx")
    room = tmp_path_factory.mktemp("optimum")
    folder = export_package(sample_checkpoint, room / "package", OPTIMUM).package.folder
    assert [path.name for path in room.iterdir()] == ["package"]
    return folder


@pytest.mark.optimum
def test_agrees_with_the_fused_graph(package: Path, sample_fp32: Path) -> None:
    stock, fused = Generator.load(package), Generator.load(sample_fp32)
    prompt = "It was the best of times"
    np.testing.assert_allclose(stock.logits(prompt), fused.logits(prompt), rtol=0, atol=1e-3)
    config = GenerationConfig(max_new_tokens=60, ignore_eos=True)
    assert stock.generate(prompt, config).ids == fused.generate(prompt, config).ids


@pytest.mark.optimum
def test_is_a_whole_package(package: Path) -> None:
    generator = Generator.load(package)
    graph = generator.manifest.graph
    assert (graph.flavour, graph.cache, graph.names.logits_to_keep) == ("optimum", "concat", None)
    assert generator.manifest.self_test is not None
    assert run_self_test(generator) == []
    generator.package.check_hashes()


@pytest.mark.optimum
@pytest.mark.parametrize(
    "overrides",
    [
        {"n_embd": 36, "n_head": 3},
        {"n_inner": 75, "activation_function": "relu"},
        {"tie_word_embeddings": False},
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True},
        {"activation_function": "prelu"},
        {"activation_function": "xielu"},
    ],
)
def test_variants_agree_or_are_refused(tmp_path: Path, overrides: dict[str, Any]) -> None:
    pytest.importorskip("optimum.exporters.onnx")
    checkpoint = write_random_checkpoint(tmp_path / "c", random_config(**overrides))
    options = ExportOptions(recipe="fp32", engine="optimum", tokenizer=False)
    try:
        package = export_package(checkpoint, tmp_path / "package", options).package
    except ExportError as error:
        assert_one_line(error, "use the fused engine")
        assert overrides.keys() & {"scale_attn_weights", "scale_attn_by_inverse_layer_idx"} or (
            overrides["activation_function"] == "xielu"
        )
        return
    expected = Oracle.load(checkpoint).logits([1, 2, 3, 4])
    logits = Generator.load(package.folder).logits([1, 2, 3, 4])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


@pytest.mark.optimum
def test_heads_are_not_padded(tmp_path: Path) -> None:
    pytest.importorskip("optimum.exporters.onnx")
    checkpoint = write_random_checkpoint(tmp_path / "c", random_config(n_embd=36, n_head=3))
    options = ExportOptions(recipe="fp32", engine="optimum", tokenizer=False)
    package = export_package(checkpoint, tmp_path / "package", options).package
    assert package.manifest.architecture.head_size == 12


@pytest.mark.optimum
def test_nanogpt_checkpoint_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("optimum.exporters.onnx")
    torch = pytest.importorskip("torch")
    linear = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    state = {
        f"transformer.{name}": torch.from_numpy(value.T.copy() if name.endswith(linear) else value)
        for name, value in random_tensors(random_config()).items()
    }
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 64, "vocab_size": 101}
    torch.save({"model": state, "model_args": sizes}, tmp_path / "ckpt.pt")
    options = ExportOptions(recipe="fp32", engine="optimum", tokenizer=False)
    with pytest.raises(ExportError) as caught:
        export_package(tmp_path / "ckpt.pt", tmp_path / "package", options)
    assert_one_line(caught.value, tmp_path / "ckpt.pt", "Hugging Face")
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt.pt"]


@pytest.mark.optimum
@pytest.mark.parametrize("prefix", ["module.", "model.transformer."])
def test_weights_that_transformers_would_make_up_are_refused(tmp_path: Path, prefix: str) -> None:
    pytest.importorskip("optimum.exporters.onnx")
    config = random_config()
    write_random_checkpoint(tmp_path / "c", config)
    tensors = {prefix + name: value for name, value in random_tensors(config).items()}
    save_file(tensors, tmp_path / "c" / "model.safetensors", {"format": "pt"})
    options = ExportOptions(recipe="fp32", engine="optimum", tokenizer=False)
    with pytest.raises(ExportError) as caught:
        export_package(tmp_path / "c", tmp_path / "package", options)
    assert_one_line(caught.value, tmp_path / "c", "fused engine")


@pytest.mark.optimum
def test_model_that_transformers_would_guess_is_refused(tmp_path: Path) -> None:
    """Without model_type it goes by the folder's name: an OPT of random weights, here."""
    pytest.importorskip("optimum.exporters.onnx")
    write_random_checkpoint(tmp_path / "opt", random_config(model_type=None))
    options = ExportOptions(recipe="fp32", engine="optimum", tokenizer=False)
    with pytest.raises(ExportError) as caught:
        export_package(tmp_path / "opt", tmp_path / "package", options)
    assert_one_line(caught.value, tmp_path / "opt", "model_type", "fused engine")


@pytest.mark.optimum
def test_failure_of_optimum_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporters = pytest.importorskip("optimum.exporters.onnx")

    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("one\ntwo \x1b[2J")

    monkeypatch.setattr(exporters, "main_export", fail)
    write_random_checkpoint(tmp_path / "c", random_config())
    options = ExportOptions(recipe="fp32", engine="optimum", tokenizer=False)
    with pytest.raises(ExportError) as caught:
        export_package(tmp_path / "c", tmp_path / "package", options)
    assert_one_line(caught.value, "optimum's export failed", "fused engine")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_without_optimum(
    tmp_path: Path, sample_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optimum.exporters.onnx", None)
    with pytest.raises(MissingDependencyError) as caught:
        export_package(sample_checkpoint, tmp_path / "package", OPTIMUM)
    assert_one_line(caught.value, install_hint("optimum"))
    assert list(tmp_path.iterdir()) == []
