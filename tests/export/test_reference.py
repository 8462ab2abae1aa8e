"""Packages against transformers' own GPT-2 on the same weights (extra [optimum]).

Its attention is "eager" wherever a config scales scores in its own way: the default, "sdpa",
ignores scale_attn_weights and scale_attn_by_inverse_layer_idx (transformers 4.57).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import CheckpointError
from gpt2_edge.graph.session import Session
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.measure.verify import compare_with_transformers
from gpt2_edge_export.texts import REPORT_TEXT
from helpers import assert_one_line, random_config, write_random_checkpoint
from oracle import ALL_ACTIVATIONS, Oracle

pytestmark = pytest.mark.optimum

FP32 = ExportOptions(recipe="fp32", tokenizer=False)
VARIANTS: dict[str, dict[str, Any]] = {
    "inner 75": {"n_inner": 75},
    "unscaled attention": {"scale_attn_weights": False},
    "scaled by layer": {"scale_attn_by_inverse_layer_idx": True, "n_layer": 3},
    "upcast": {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True},
    "untied head": {"tie_word_embeddings": False},
    "epsilon 0.1": {"layer_norm_epsilon": 0.1},
    "head size 12": {"n_embd": 36, "n_head": 3},
    "head size 80": {"n_embd": 160, "n_head": 2},
}


def reference_logits(torch: Any, model: Any, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = model(torch.tensor([ids])).logits[0].numpy()
    return logits


def reference_greedy(torch: Any, model: Any, ids: list[int], count: int) -> list[int]:
    given = torch.tensor([ids])
    tokens = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=count,
        min_new_tokens=count,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    generated: list[int] = tokens[0, len(ids) :].tolist()
    return generated


def test_sample_model(
    torch: Any, transformers: Any, sample_fp32: Path, sample_checkpoint: Path
) -> None:
    model = transformers.GPT2LMHeadModel.from_pretrained(sample_checkpoint, dtype=torch.float32)
    tokenizer = transformers.GPT2TokenizerFast.from_pretrained(sample_checkpoint)
    generator = Generator.load(sample_fp32)
    prompt = "The animal didn't cross the street because it was too"
    ids = tokenizer(prompt)["input_ids"]
    assert generator.encode(prompt) == ids
    expected = reference_logits(torch, model.eval(), ids)
    np.testing.assert_allclose(generator.logits(ids), expected, rtol=0, atol=1e-3)
    result = generator.generate(ids, GenerationConfig(max_new_tokens=60, ignore_eos=True))
    assert list(result.ids) == reference_greedy(torch, model, ids, 60)


def test_sample_model_over_its_whole_context(
    torch: Any, transformers: Any, sample_fp32: Path, sample_checkpoint: Path
) -> None:
    model = transformers.GPT2LMHeadModel.from_pretrained(sample_checkpoint, dtype=torch.float32)
    generator = Generator.load(sample_fp32)
    ids = generator.encode(REPORT_TEXT.read_text("utf-8")[:1500])
    ids = (ids * 2)[:512]
    assert len(ids) == generator.manifest.architecture.context_length
    expected = reference_logits(torch, model.eval(), ids)
    np.testing.assert_allclose(generator.logits(ids), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant(torch: Any, transformers: Any, tmp_path: Path, variant: str) -> None:
    check_random(torch, transformers, tmp_path, **VARIANTS[variant])


@pytest.mark.parametrize("activation", sorted(ALL_ACTIVATIONS))
def test_activation(torch: Any, transformers: Any, tmp_path: Path, activation: str) -> None:
    check_random(torch, transformers, tmp_path, activation_function=activation)


def check_random(torch: Any, transformers: Any, folder: Path, **overrides: Any) -> None:
    """A model that transformers makes up and saves itself, and the package of its files."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(**random_config(**overrides), initializer_range=0.2)
    config._attn_implementation = "eager"
    model = transformers.GPT2LMHeadModel(config).eval()
    for name, parameter in model.named_parameters():
        # transformers starts biases at zero, and what activations learn alike in every layer
        if name.endswith("bias") or ".mlp.act." in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder / "checkpoint")
    package = export_package(folder / "checkpoint", folder / "package", FP32).package
    generator = Generator.load(package.folder)
    ids = np.random.default_rng(1).integers(0, 101, 24).tolist()
    expected = reference_logits(torch, model, ids)
    np.testing.assert_allclose(generator.logits(ids), expected, rtol=0, atol=2e-5)
    tokens = generator.generate(ids, GenerationConfig(max_new_tokens=20, ignore_eos=True)).ids
    assert list(tokens) == reference_greedy(torch, model, ids, 20)


def test_oracle_agrees_with_transformers(torch: Any, transformers: Any, tmp_path: Path) -> None:
    """The reference of the tests that run without torch."""
    folder = write_random_checkpoint(
        tmp_path, random_config(scale_attn_by_inverse_layer_idx=True, n_inner=75)
    )
    model = transformers.GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = list(range(40))
    expected = reference_logits(torch, model, ids)
    np.testing.assert_allclose(Oracle.load(folder).logits(ids), expected, atol=1e-4)


class TestCompareWithTransformers:
    """The comparison that `gpt2-edge verify --reference` prints."""

    @pytest.fixture(autouse=True)
    def _needs(self, transformers: Any) -> None:
        pass

    def test_fp32_agrees(self, sample_fp32: Path, sample_checkpoint: Path) -> None:
        comparison = compare_with_transformers(Generator.load(sample_fp32), sample_checkpoint)
        assert comparison.max_difference < 1e-3
        assert comparison.top1 == 1
        assert comparison.greedy == comparison.greedy_tokens == 100
        assert comparison.exact
        assert comparison.agrees

    def test_int4_is_reported_as_quantized(
        self, sample_int4: Path, sample_checkpoint: Path
    ) -> None:
        comparison = compare_with_transformers(Generator.load(sample_int4), sample_checkpoint)
        assert 1e-3 < comparison.max_difference < 10
        assert 0.5 < comparison.top1 <= 1
        assert not comparison.exact
        assert comparison.agrees

    def test_other_weights_are_found_out(
        self, random_package: Callable[..., Path], tmp_path: Path
    ) -> None:
        other = write_random_checkpoint(tmp_path, random_config(), seed=7)
        comparison = compare_with_transformers(Generator.load(random_package(seed=0)), other)
        assert not comparison.agrees
        assert comparison.greedy < comparison.greedy_tokens
        assert "DIFFERS" in comparison.describe()

    def test_another_vocabulary_is_an_error(self, sample_fp32: Path, tmp_path: Path) -> None:
        other = write_random_checkpoint(tmp_path, random_config())
        with pytest.raises(CheckpointError) as caught:
            compare_with_transformers(Generator.load(sample_fp32), other)
        assert_one_line(caught.value, other, "101", "8192")

    @pytest.mark.parametrize(
        "overrides",
        [
            {"n_positions": 8},
            {"tie_word_embeddings": False},
            {"scale_attn_weights": False},
            {"scale_attn_by_inverse_layer_idx": True},
            {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
            {"activation_function": "prelu"},
            {"activation_function": "xielu"},
        ],
    )
    def test_variants_agree(
        self, random_package: Callable[..., Path], overrides: dict[str, Any]
    ) -> None:
        package = random_package(**overrides)
        checkpoint = package.parent / "checkpoint"
        comparison = compare_with_transformers(Generator.load(package), checkpoint)
        assert comparison.agrees, comparison.describe()

    @pytest.mark.parametrize(
        "changes",
        [
            {"num_hidden_layers": 2, "n_layer": None},
            {"quantization_config": {}, "torch_dtype": "float17", "num_labels": "many"},
            {"model_type": None, "architectures": None},
            {"eos_token_id": [0, "x"], "pad_token_id": -7, "id2label": 5},
        ],
    )
    def test_transformers_is_told_what_was_read_and_nothing_else(
        self, random_package: Callable[..., Path], tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        source = write_random_checkpoint(tmp_path, random_config())
        config = {k: v for k, v in (random_config() | changes).items() if v is not None}
        (source / "config.json").write_text(json.dumps(config), "utf-8")
        comparison = compare_with_transformers(Generator.load(random_package()), source)
        assert comparison.agrees, comparison.describe()

    def test_ctrl_c_is_no_difference(
        self, random_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = random_package()
        generator = Generator.load(package)

        def interrupt(self: Session, *_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(Session, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            compare_with_transformers(generator, package.parent / "checkpoint")

    @pytest.mark.shared
    def test_craftgpt(self, shared_data: Path, tmp_path: Path) -> None:
        checkpoint = shared_data / "models" / "craftgpt"
        package = export_package(checkpoint, tmp_path / "package", FP32).package
        comparison = compare_with_transformers(Generator.load(package.folder), checkpoint)
        assert comparison.agrees
        assert (package.folder / "LICENSE").is_file()

    def test_gpt2_of_124m_parameters(self) -> None:
        sizes = {"n_layer": 12, "n_head": 12, "n_embd": 768, "vocab_size": 50257}
        config = random_config(**sizes, n_positions=1024)
        with tempfile.TemporaryDirectory() as room:  # pytest would keep a gigabyte
            checkpoint = write_random_checkpoint(Path(room) / "checkpoint", config, dtype="float16")
            package = export_package(checkpoint, Path(room) / "package", FP32).package
            assert (package.folder / "model.onnx_data").stat().st_size > 490_000_000
            comparison = compare_with_transformers(Generator.load(package.folder), checkpoint)
        assert comparison.agrees, comparison.describe()


def test_config_of_the_package_loads_in_transformers(
    transformers: Any, sample_int4: Path, sample_checkpoint: Path
) -> None:
    config = transformers.AutoConfig.from_pretrained(sample_int4)
    source = json.loads((sample_checkpoint / "config.json").read_text("utf-8"))
    assert config.model_type == "gpt2"
    assert config.n_embd == source["n_embd"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(sample_int4)
    text = "It was a dark night."
    assert tokenizer(text)["input_ids"] == Generator.load(sample_int4).encode(text)
