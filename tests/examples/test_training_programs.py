"""Examples that train a model or take what a trainer has left; they need torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from examples.running import printed, run
from gpt2_edge import Generator
from helpers import random_config, random_tensors

pytestmark = pytest.mark.optimum

DOCS = Path(__file__).resolve().parents[2] / "docs"
LINEAR = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def test_fine_tuning_lowers_the_perplexity_and_int4_keeps_it(
    sample_checkpoint: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    text = tmp_path / "text.txt"
    # Of a kind that the sample model has not seen: this project's own pages.
    pages = [page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))]
    text.write_text("\n".join(pages)[:60_000], encoding="utf-8")
    shown = printed("fine_tune.py", sample_checkpoint, text, tmp_path / "model", "--steps", 40)
    figures, written = shown.split("\n", 1)
    before, after, quantized = map(float, re.findall(r"\d+\.\d", figures))
    assert after < 0.7 * before
    assert quantized < 1.03 * after
    assert written.strip()
    assert json.loads((tmp_path / "model" / "checkpoint" / "config.json").read_text())
    Generator.load(tmp_path / "model" / "package")


def test_a_text_that_is_too_short_is_told(sample_checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    text = tmp_path / "text.txt"
    text.write_text("Once.")
    process = run("fine_tune.py", sample_checkpoint, text, tmp_path / "model")
    assert process.returncode == 1
    assert "128 are needed or more" in process.stderr.splitlines()[-1]
    assert not (tmp_path / "model").exists()


def test_nanogpt_to_a_phone(sample_checkpoint: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    vocab = json.loads((sample_checkpoint / "config.json").read_text())["vocab_size"]
    config = random_config(activation_function="gelu", vocab_size=vocab, n_positions=64)
    state = {
        f"_orig_mod.transformer.{name}": torch.from_numpy(
            np.ascontiguousarray(value.T if name.endswith(LINEAR) else value)
        )
        for name, value in random_tensors(config).items()
    }
    state["_orig_mod.lm_head.weight"] = state["_orig_mod.transformer.wte.weight"]
    sizes = {"n_layer": config["n_layer"], "n_head": config["n_head"], "n_embd": config["n_embd"]}
    arguments = sizes | {"block_size": 64, "bias": True, "vocab_size": vocab, "dropout": 0.0}
    torch.save({"model": state, "model_args": arguments, "iter_num": 10}, tmp_path / "ckpt.pt")
    package = tmp_path / "package"
    shown = printed("nanogpt_to_phone.py", tmp_path / "ckpt.pt", sample_checkpoint, package)
    assert re.search(r"^perplexity [\d.]+, as exported [\d.]+$", shown, re.MULTILINE)
    assert re.search(r"^NNAPI would take \d+ of \d+ products$", shown, re.MULTILINE)
    assert f"adb push {package} /sdcard/" in shown
    Generator.load(package)
