"""Our packages in onnxruntime-genai, which has an environment of its own.

Same tokens and the same logits (measured: to the bit): with the shared buffer and without, after
a rewind, and with several tokens behind a rewind.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from ecosystem.variants import (
    NEW_TOKENS,
    VARIANTS,
    Prompt,
    Variant,
    assert_same,
    continuation,
)
from gpt2_edge import Generator

GENAI_PYTHON = os.environ.get("GENAI_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not GENAI_PYTHON, reason="GENAI_PYTHON names no Python; tools/test-ecosystem.sh makes one"
)

KEPT = 10
OTHER = [11, 300, 45]
FUSED = [variant for variant in VARIANTS if variant.flavour == "fused"]


def genai(
    package: Path,
    prompts: list[Prompt],
    folder: Path,
    shared: bool | None = None,
    overlay: dict[str, Any] | None = None,
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the package there; the process, and where it left its results."""
    request, result = folder / "request.json", folder / "result.npz"
    asked = {
        "package": str(package),
        "shared": shared,
        "overlay": overlay,
        "prompts": [dataclasses.asdict(prompt) for prompt in prompts],
        "new_tokens": NEW_TOKENS,
        "kept_tokens": KEPT,
        "other_tokens": OTHER,
        "max_length": 200,
    }
    request.write_text(json.dumps(asked))
    script = Path(__file__).with_name("on_genai.py")
    command = [GENAI_PYTHON, str(script), str(request), str(result)]
    return subprocess.run(command, capture_output=True, text=True), result


def compare(
    package: Path, ours: Generator, prompts: list[Prompt], folder: Path, shared: bool | None
) -> None:
    process, result = genai(package, prompts, folder, shared)
    assert process.returncode == 0, process.stderr[-2000:]
    with np.load(result) as there:
        assert str(there["onnxruntime"]) == ort.__version__, "the same kernels are to be compared"
        for number, prompt in enumerate(prompts):
            assert there[f"ids{number}"].tolist() == prompt.ids
            whole = continuation(ours, [prompt.ids])
            assert_same(there[f"tokens{number}"].tolist(), there[f"logits{number}"], whole)
            kept = whole.tokens[:KEPT]
            assert there[f"rewound{number}"].tolist() == kept
            one_by_one = [prompt.ids, *([token] for token in kept)]
            again = continuation(ours, [*one_by_one, [whole.tokens[KEPT]]], NEW_TOKENS - KEPT - 1)
            assert there[f"again{number}"].tolist() == whole.tokens
            assert_same(
                there[f"again{number}"].tolist()[KEPT + 1 :], there[f"again_logits{number}"], again
            )
            other = continuation(ours, [*one_by_one, OTHER], NEW_TOKENS - KEPT - len(OTHER))
            after = there[f"other{number}"].tolist()
            assert after[: KEPT + len(OTHER)] == kept + OTHER
            assert_same(after[KEPT + len(OTHER) :], there[f"other_logits{number}"], other)


def test_as_configured(
    package: Path, ours: Generator, prompts: list[Prompt], tmp_path: Path
) -> None:
    """The fused graph's buffer is shared; the portable one's cannot be."""
    search = json.loads((package / "genai_config.json").read_text("utf-8"))["search"]
    assert search["past_present_share_buffer"] is (ours.manifest.graph.flavour == "fused")
    compare(package, ours, prompts, tmp_path, shared=None)


@pytest.mark.parametrize("package", FUSED, indirect=True, ids=str)
def test_without_the_shared_buffer(
    package: Path, ours: Generator, prompts: list[Prompt], tmp_path: Path
) -> None:
    compare(package, ours, prompts, tmp_path, shared=False)


@pytest.mark.parametrize("package", [Variant("portable", "fp32")], indirect=True, ids=str)
def test_a_concatenated_cache_cannot_be_shared(
    package: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    process, _ = genai(package, prompts[:1], tmp_path, shared=True)
    assert process.returncode != 0
    assert "Concat" in process.stderr


def session_options(package: Path) -> dict[str, Any]:
    config = json.loads((package / "genai_config.json").read_text("utf-8"))
    options: dict[str, Any] = config["model"]["decoder"]["session_options"]
    return options


@pytest.mark.parametrize("package", [Variant("fused", "int8")], indirect=True, ids=str)
def test_session_options_reach_onnxruntime(
    package: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    """Where genai_config.json asks for exact 8-bit products, another such entry has its effect."""
    assert session_options(package)["session.x64quantprecision"] == "1"
    entry = {"session.load_model_format": "ORT"}  # which model.onnx is not
    overlay = {"model": {"decoder": {"session_options": entry}}}
    process, _ = genai(package, prompts[:1], tmp_path, overlay=overlay)
    assert process.returncode != 0
    assert "ORT model verification failed" in process.stderr
