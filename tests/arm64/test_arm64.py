"""The same package on Arm (aarch64 Python under qemu) and here on x86-64: tools/test-arm64.sh.

Float32 graphs agree to 1e-5. In quantized ones a last bit becomes a rounding step, and on Arm
KleidiAI's int4 kernel rounds activations by row where x86-64's rounds them by block, so logits
differ by some tenths and near-ties flip. So two things are compared: greedy tokens after a prompt
whose continuation stays clear of near-ties, and over a text, what quantization costs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gpt2_edge import Generator
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.texts import REPORT_TEXT

ARM_PYTHON = os.environ.get("ARM64_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not ARM_PYTHON, reason="ARM64_PYTHON names no aarch64 Python; tools/test-arm64.sh makes one"
)

RECIPES = ("int8", "int8-row", "int4")
NEW_TOKENS = 50
WINDOWS, WINDOW = 4, 128
# Of 1,619 beginnings of sentences, those after which the least lead in 50 steps is largest.
PROMPTS = (
    "Planchet left his job",
    "He was obliged to",
    "Each word he spoke",
    "And what's his name,",
    "I mean to give him the same",
    "Sesemann assured her that",
    "I should have liked",
    "By all I hold",
)
# Measured: 1.02 (int8), 0.97 (int8-row), 1.06 (int4). A wrong kernel gives hundreds.
MOST_DIVERGENCE = 1.5


@dataclass(frozen=True)
class Greedy:
    """A greedy continuation, and by how much each token's logit leads the second."""

    prompt: str
    prompt_ids: tuple[int, ...]
    tokens: tuple[int, ...]
    leads: tuple[float, ...]


@dataclass(frozen=True)
class Both:
    """What a package computes here and on Arm; `exact` are the fp32 graph's logits."""

    recipe: str
    greedy: Greedy
    machine: str
    arm_tokens: tuple[int, ...]
    exact: np.ndarray
    here: np.ndarray
    arm: np.ndarray


def greedy(generator: Generator, prompt: str) -> Greedy:
    ids = generator.encode(prompt)
    sequence = generator.session.start(len(ids) + NEW_TOKENS)
    logits = sequence.prefill(ids)
    tokens, leads = [], []
    for _ in range(NEW_TOKENS):
        second, first = np.argsort(logits)[-2:]
        tokens.append(int(first))
        leads.append(float(logits[first] - logits[second]))
        logits = sequence.feed(tokens[-1:])[0]
    return Greedy(prompt, tuple(ids), tuple(tokens), tuple(leads))


def text_logits(generator: Generator, windows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.stack([generator.logits(window) for window in windows])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def divergence(reference: np.ndarray, logits: np.ndarray) -> float:
    """Mean KL divergence in nats a token."""
    p, q = log_softmax(reference), log_softmax(logits)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def on_arm(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ARM_PYTHON, *map(str, arguments)], capture_output=True, text=True)


def succeed(process: subprocess.CompletedProcess[str]) -> str:
    said = process.stdout[-1000:] + process.stderr[-2000:]
    assert process.returncode == 0, f"status {process.returncode} on Arm: {said}"
    return process.stdout


def export(checkpoint: Path, folder: Path, recipe: str) -> Path:
    """int4 calibrated, as it is by default; the others rounded plainly: calibrating takes long."""
    calibration = None if recipe == "int4" else False
    options = ExportOptions(recipe=recipe, calibration=calibration, report=False)
    return export_package(checkpoint, folder / recipe, options).package.folder


@pytest.fixture(scope="module")
def reference(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return Generator.load(export(sample_checkpoint, tmp_path_factory.mktemp("fp32"), "fp32"))


@pytest.fixture(scope="module", params=RECIPES)
def package(
    request: pytest.FixtureRequest,
    sample_checkpoint: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    return export(sample_checkpoint, tmp_path_factory.mktemp("arm64"), request.param)


@pytest.fixture(scope="module")
def both(package: Path, reference: Generator) -> Both:
    here = Generator.load(package, provider="cpu")
    clearest = max((greedy(here, prompt) for prompt in PROMPTS), key=lambda each: min(each.leads))
    assert here.tokenizer is not None
    ids = here.tokenizer.encode(REPORT_TEXT.read_text("utf-8"))[: WINDOWS * WINDOW]
    windows = [ids[start : start + WINDOW] for start in range(0, len(ids), WINDOW)]
    request, result = package.parent / "request.json", package.parent / "result.npz"
    asked = {"prompt": clearest.prompt_ids, "new_tokens": NEW_TOKENS, "windows": windows}
    request.write_text(json.dumps(asked))
    succeed(on_arm(Path(__file__).with_name("on_arm.py"), package, request, result))
    with np.load(result) as arm:
        return Both(
            recipe=package.name,
            greedy=clearest,
            machine=str(arm["machine"]),
            arm_tokens=tuple(arm["tokens"].tolist()),
            exact=text_logits(reference, windows),
            here=text_logits(here, windows),
            arm=arm["logits"],
        )


def test_the_self_test_passes(package: Path) -> None:
    printed = succeed(on_arm("-m", "gpt2_edge", "verify", package))
    assert "hashes     ok" in printed
    assert "self-test  ok" in printed


def test_greedy_tokens(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    assert both.machine == "aarch64"
    expected, leads = both.greedy.tokens, both.greedy.leads
    pairs = enumerate(zip(both.arm_tokens, expected, strict=True))
    first = next((step for step, (arm, here) in pairs if arm != here), None)
    assert first is None, (
        f"{both.recipe}: after {both.greedy.prompt!r}, Arm's token {first} is "
        f"{both.arm_tokens[first]}, here it is {expected[first]}, which leads by "
        f"{leads[first]:.3f} (least lead in {NEW_TOKENS}: {min(leads):.3f})"
    )
    with capsys.disabled():
        sys.stdout.write(
            f"\n{both.recipe}: {NEW_TOKENS} greedy tokens after {both.greedy.prompt!r} are the "
            f"same; least lead {min(leads):.3f}\n"
        )


def test_what_quantization_costs(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    here, arm = divergence(both.exact, both.here), divergence(both.exact, both.arm)
    same = float((both.here.argmax(-1) == both.arm.argmax(-1)).mean())
    measured = (
        f"{both.recipe}: mean KL divergence from fp32 over {both.exact.shape[0] * WINDOW} tokens "
        f"{here:.5f} here, {arm:.5f} on Arm; {divergence(both.here, both.arm):.5f} between them, "
        f"{same:.1%} the same top token, logits apart by up to "
        f"{np.abs(both.here - both.arm).max():.3f}"
    )
    assert arm <= MOST_DIVERGENCE * here, measured
    with capsys.disabled():
        sys.stdout.write(f"\n{measured}\n")
