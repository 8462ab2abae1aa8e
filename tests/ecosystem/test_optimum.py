"""Our packages in optimum.onnxruntime, and in our runtime what optimum-cli exported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from ecosystem.variants import NEW_TOKENS, Prompt, Variant, assert_same, continuation
from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.graph.int8_overflow import signed_weights_overflow

optimum = pytest.importorskip(
    "optimum.onnxruntime", reason="needs the extra [optimum]; tools/test-ecosystem.sh has it"
)

# Two graphs of the same weights: operators differ, and with them the order of the sums.
TWO_GRAPHS = 2e-4


@pytest.fixture(scope="session")
def theirs(package: Path) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # docs/PACKAGE.md asks this of every client, for 8-bit weights on processors without VNNI.
    precision = "1" if signed_weights_overflow() else "0"
    options.add_session_config_entry("session.x64quantprecision", precision)
    return optimum.ORTModelForCausalLM.from_pretrained(package, session_options=options)


def test_our_package_in_optimum(
    package: Path, ours: Generator, theirs: Any, prompts: list[Prompt]
) -> None:
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(package)
    for prompt in prompts:
        encoded = tokenizer(prompt.text, return_tensors="pt")
        assert encoded["input_ids"].tolist() == [prompt.ids]
        generated = theirs.generate(
            **encoded,
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=0,
        )
        tokens = generated.sequences[0, len(prompt.ids) :].tolist()
        logits = torch.cat(generated.logits).numpy()
        assert_same(tokens, logits, continuation(ours, [prompt.ids]))


@pytest.mark.parametrize("package", [Variant("portable", "fp32")], indirect=True, ids=str)
def test_left_padded_batches(
    package: Path, ours: Generator, theirs: Any, prompts: list[Prompt]
) -> None:
    """The fused graph takes no such mask; quantized rows round by their place in a batch."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(package, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    encoded = tokenizer([prompt.text for prompt in prompts], return_tensors="pt", padding=True)
    generated = theirs.generate(
        **encoded, do_sample=False, max_new_tokens=NEW_TOKENS, pad_token_id=0
    )
    start = encoded["input_ids"].shape[1]
    for row, prompt in zip(generated.tolist(), prompts, strict=True):
        assert row[start:] == continuation(ours, [prompt.ids]).tokens


@pytest.fixture(scope="module")
def stock(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that optimum's own command writes."""
    folder = tmp_path_factory.mktemp("optimum") / "stock"
    command = [Path(sys.executable).with_name("optimum-cli"), "export", "onnx"]
    options = ["--model", sample_checkpoint, "--task", "text-generation-with-past"]
    process = subprocess.run(
        [str(part) for part in (*command, *options, folder)], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert not (folder / "manifest.json").exists()
    return folder


def test_their_export_in_our_runtime(stock: Path, sample_fp32: Path, prompts: list[Prompt]) -> None:
    loaded, fused = Generator.load(stock), Generator.load(sample_fp32)
    assert loaded.manifest.architecture == fused.manifest.architecture
    assert loaded.manifest.eos_token_ids == fused.manifest.eos_token_ids
    config = GenerationConfig(max_new_tokens=NEW_TOKENS)
    for prompt in prompts:
        expected = fused.generate(prompt.ids, config)
        generated = loaded.generate(prompt.text, config)
        assert len(expected.ids) == NEW_TOKENS
        assert generated.ids == expected.ids
        assert generated.text == expected.text
        np.testing.assert_allclose(
            loaded.logits(prompt.ids), fused.logits(prompt.ids), rtol=0, atol=TWO_GRAPHS
        )


def test_their_export_in_our_runtime_and_in_theirs(stock: Path, prompts: list[Prompt]) -> None:
    import torch

    loaded = Generator.load(stock)
    model = optimum.ORTModelForCausalLM.from_pretrained(stock)
    for prompt in prompts:
        ids = torch.tensor([prompt.ids])
        generated = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=0,
        )
        tokens = generated.sequences[0, len(prompt.ids) :].tolist()
        logits = torch.cat(generated.logits).numpy()
        assert_same(tokens, logits, continuation(loaded, [prompt.ids]))
