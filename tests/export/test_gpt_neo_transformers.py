"""GPT-Neo packages against transformers' own on the same files (extra [optimum]).

Attention is "eager", the only implementation that transformers has for a CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.measure.verify import compare_with_transformers
from gpt_neo import NeoOracle, neo_config, neo_tensors, write_neo
from helpers import assert_one_line, write_checkpoint

pytestmark = pytest.mark.optimum

TOLERANCE = 1e-3
VARIANTS: dict[str, dict[str, Any]] = {
    "window 8": {"window_size": 8},
    "window 256": {"window_size": 256, "max_position_embeddings": 448},
    "local first": {
        "num_layers": 3,
        "attention_types": [[["local"], 1], [["global", "local"], 1]],
        "window_size": 5,
    },
    "window of one": {"window_size": 1},
    "untied head": {"tie_word_embeddings": False},
    "inner 75, head size 12": {"intermediate_size": 75, "hidden_size": 36, "num_heads": 3},
    "relu, epsilon 0.1": {"activation_function": "relu", "layer_norm_epsilon": 0.1},
}


def reference(transformers: Any, torch: Any, folder: Path, **options: Any) -> Any:
    return transformers.GPTNeoForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", **options
    ).eval()


@pytest.mark.parametrize("flavour", ["fused", "portable", "static"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_and_100_greedy_tokens(
    torch: Any, transformers: Any, tmp_path: Path, variant: str, flavour: str
) -> None:
    checkpoint = write_neo(tmp_path / "checkpoint", **VARIANTS[variant])
    options = ExportOptions(recipe="fp32", flavour=flavour, tokenizer=False)
    package = export_package(checkpoint, tmp_path / "package", options).package.folder
    generator, model = Generator.load(package), reference(transformers, torch, checkpoint)
    ids = np.random.default_rng(3).integers(0, 101, generator.context_length - 105).tolist()
    with torch.no_grad():
        given = torch.tensor([ids])
        expected = model(given).logits[0].numpy()
        tokens = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=100,
            min_new_tokens=100,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )[0, len(ids) :].tolist()
    np.testing.assert_allclose(generator.logits(ids), expected, rtol=0, atol=TOLERANCE)
    config = GenerationConfig(max_new_tokens=100, do_sample=False, ignore_eos=True)
    assert list(generator.generate(ids, config).ids) == tokens


def test_a_model_that_transformers_makes_and_saves(
    torch: Any, transformers: Any, tmp_path: Path
) -> None:
    """Its own initialization, configuration and files, attention_layers among them."""
    torch.manual_seed(0)
    config = transformers.GPTNeoConfig(
        vocab_size=211,
        max_position_embeddings=300,
        hidden_size=64,
        num_layers=4,
        num_heads=4,
        attention_types=[[["global", "local"], 2]],
        window_size=8,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.GPTNeoForCausalLM(config).save_pretrained(tmp_path / "checkpoint")
    options = ExportOptions(recipe="fp32", tokenizer=False)
    package = export_package(tmp_path / "checkpoint", tmp_path / "package", options).package
    comparison = compare_with_transformers(Generator.load(package.folder), tmp_path / "checkpoint")
    assert comparison.agrees, comparison.describe()
    assert comparison.greedy == 100
    loaded = transformers.AutoConfig.from_pretrained(package.folder)
    assert loaded.model_type == "gpt_neo"
    assert loaded.attention_layers == ["global", "local"] * 2


def test_verify_sees_a_window_that_is_missing(
    torch: Any, transformers: Any, tmp_path: Path
) -> None:
    """The checkpoint that is compared with has one token less in its windows."""
    package = write_neo(tmp_path / "a", window_size=9)
    other = write_neo(tmp_path / "b", window_size=8)
    options = ExportOptions(recipe="fp32", tokenizer=False)
    folder = export_package(package, tmp_path / "package", options).package.folder
    assert compare_with_transformers(Generator.load(folder), package).agrees
    assert not compare_with_transformers(Generator.load(folder), other).agrees


def test_verify_needs_names_that_transformers_finds(
    torch: Any, transformers: Any, tmp_path: Path
) -> None:
    config = neo_config()
    tensors = {f"model.{name}": tensor for name, tensor in neo_tensors(config).items()}
    checkpoint = write_checkpoint(tmp_path / "checkpoint", config, tensors, prefix=False)
    options = ExportOptions(recipe="fp32", tokenizer=False)
    folder = export_package(checkpoint, tmp_path / "package", options).package.folder
    with pytest.raises(CheckpointError) as caught:
        compare_with_transformers(Generator.load(folder), checkpoint)
    assert_one_line(caught.value, "save_pretrained")


@pytest.mark.parametrize(
    "overrides",
    [
        {"attention_layers": ["local", "global"]},
        {"attention_layers": ["local", "local"], "window_size": 5},
        {"num_heads": 4, "num_attention_heads": 2},
        {"window_size": None},
        {"intermediate_size": 40},
    ],
)
def test_a_config_means_here_what_it_means_there(
    transformers: Any, tmp_path: Path, overrides: dict[str, Any]
) -> None:
    ours = open_checkpoint(write_neo(tmp_path, **overrides)).config
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    assert ours.n_head == theirs.num_heads
    assert ours.n_inner == (theirs.intermediate_size or 4 * theirs.hidden_size)
    windows = [theirs.window_size if kind == "local" else None for kind in theirs.attention_layers]
    windows = [None if w is None or w >= ours.n_positions else w for w in windows]
    assert [ours.attention_window(layer) for layer in range(ours.n_layer)] == windows


def test_the_model_in_float64_is_transformers(
    torch: Any, transformers: Any, tmp_path: Path
) -> None:
    checkpoint = write_neo(tmp_path)
    ids = list(range(100))
    with torch.no_grad():
        expected = reference(transformers, torch, checkpoint)(torch.tensor([ids])).logits[0]
    logits = NeoOracle.load(checkpoint).logits(ids)
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-4)


def test_optimum_s_own_export(torch: Any, transformers: Any, tmp_path: Path) -> None:
    """As a package, and as the folder without a manifest that optimum writes."""
    pytest.importorskip("optimum.exporters.onnx")
    checkpoint = write_neo(tmp_path / "checkpoint")
    options = ExportOptions(recipe="fp32", engine="optimum", tokenizer=False)
    folder = export_package(checkpoint, tmp_path / "package", options).package.folder
    oracle = NeoOracle.load(checkpoint)
    config = GenerationConfig(max_new_tokens=100, do_sample=False, ignore_eos=True)
    for number in range(2):
        generator = Generator.load(folder)
        assert generator.manifest.graph.flavour == "optimum"
        for ids in ([5, 7, 3], np.random.default_rng(4).integers(0, 101, 40).tolist()):
            expected = oracle.logits(ids)
            np.testing.assert_allclose(generator.logits(ids), expected, rtol=0, atol=1e-4)
            assert list(generator.generate(ids, config).ids) == oracle.greedy(ids, 100)
        if not number:
            (folder / "manifest.json").unlink()
