"""The flavours portable and static on OpenVINO, in the environment of its wheel.

tools/test-providers.sh runs these there; without the wheel they are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from byte_model import write_byte_checkpoint
from cli.command import run
from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import ProviderError
from gpt2_edge_export.export import ExportOptions, export_package
from helpers import assert_one_line

pytestmark = pytest.mark.skipif(
    "OpenVINOExecutionProvider" not in ort.get_available_providers(),
    reason="needs onnxruntime-openvino: tools/test-providers.sh",
)
PROMPT = "It was a dark night, and the"
GREEDY = GenerationConfig(max_new_tokens=24, ignore_eos=True)
Export = Callable[..., Path]


@pytest.fixture(scope="module")
def sample(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A function (flavour, recipe) -> package of the sample model, without calibration."""

    def make(flavour: str, recipe: str) -> Path:
        folder = tmp_path_factory.mktemp("sample") / "package"
        options = ExportOptions(recipe=recipe, flavour=flavour, report=False, calibration=False)
        return export_package(sample_checkpoint, folder, options).package.folder

    return make


def assert_as_the_cpu(folder: Path, prompt: str, tolerance: float) -> None:
    """All nodes on OpenVINO, the CPU's tokens, logits within `tolerance` of their spread."""
    openvino = Generator.load(folder, provider="openvino")
    cpu = Generator.load(folder, provider="cpu")
    assert openvino.session.step_limit is None
    ids = cpu.encode(prompt)
    expected_logits = cpu.logits(ids)
    apart = np.abs(openvino.logits(ids) - expected_logits).mean() / expected_logits.std()
    assert apart < tolerance
    result, expected = openvino.generate(ids, GREEDY), cpu.generate(ids, GREEDY)
    assert result.ids == expected.ids
    assert (result.provider, expected.provider) == ("openvino", "cpu")
    assert result.nodes is not None
    assert result.nodes.keys() == {"openvino"}
    assert result.nodes["openvino"] > 100


# Rounded activations make a last bit a step (docs/ARCHITECTURE.md).
@pytest.mark.parametrize(
    ("flavour", "recipe", "tolerance"),
    [
        ("portable", "fp32", 1e-4),
        ("portable", "int8", 0.1),
        ("portable", "int4", 0.1),
        ("static", "fp32", 1e-4),
        ("static", "fp16", 1e-4),
    ],
)
def test_the_sample_has_the_tokens_of_the_cpu(
    sample: Export, flavour: str, recipe: str, tolerance: float
) -> None:
    assert_as_the_cpu(sample(flavour, recipe), PROMPT, tolerance)


def test_static_int8_has_the_tokens_of_its_self_test(tmp_path: Path) -> None:
    """Those that lead by more than devices differ. OpenVINO rounds its 8 bits in its own way."""
    checkpoint = write_byte_checkpoint(tmp_path / "bytes")
    options = ExportOptions(recipe="int8", flavour="static", report=False)
    folder = export_package(checkpoint, tmp_path / "package", options).package.folder
    generator = Generator.load(folder, provider="openvino")
    assert generator.session.nodes is not None
    assert generator.session.nodes.keys() == {"openvino"}
    test = generator.manifest.self_test
    assert test is not None
    config = GenerationConfig(max_new_tokens=len(test.expected_ids), ignore_eos=True)
    assert generator.generate(test.prompt_ids, config).ids == test.expected_ids
    expected = Generator.load(folder, provider="cpu").logits(test.prompt_ids)
    apart = np.abs(generator.logits(test.prompt_ids) - expected).mean()
    # 0.101 on a Zen 1, which has no VNNI; unrelated logits are at 1.1.
    assert apart < 0.2 * expected.std()


def test_a_prompt_of_several_chunks(random_package: Export) -> None:
    ids = np.random.default_rng(4).integers(0, 101, 50).tolist()
    for flavour in ("portable", "static"):
        folder = random_package(flavour=flavour)
        expected = Generator.load(folder, provider="cpu").session.start(64).prefill(ids)
        sequence = Generator.load(folder, provider="openvino").session.start(64)
        np.testing.assert_allclose(sequence.prefill(ids), expected, rtol=0, atol=1e-3)
        sequence.trim(20)
        np.testing.assert_allclose(sequence.prefill(ids[20:]), expected, rtol=0, atol=1e-3)


def test_auto_takes_it_for_the_flavour_it_decodes_faster(random_package: Export) -> None:
    for flavour, expected in (("static", "openvino"), ("portable", "cpu"), ("fused", "cpu")):
        generator = Generator.load(random_package(flavour=flavour))
        assert generator.session.provider == expected


def test_a_fused_package_is_refused_in_one_line_or_right(sample: Export) -> None:
    """Which operators OpenVINO's reader knows changes from version to version."""
    folder = sample("fused", "int4")
    try:
        openvino = Generator.load(folder, provider="openvino")
    except ProviderError as error:
        advice = "this package is --flavour fused, and openvino takes --flavour portable or static"
        assert_one_line(error, advice)
        return
    expected = Generator.load(folder, provider="cpu").generate(PROMPT, GREEDY)
    assert openvino.generate(PROMPT, GREEDY).ids == expected.ids


def test_the_command_refuses_in_one_line(random_package: Export, tmp_path: Path) -> None:
    folder = random_package(flavour="static")
    for option, message in (
        ("foo=1", "Invalid OpenVINO EP option: foo"),
        ("device_type=NPU9", "model.onnx cannot be loaded on openvino"),
    ):
        process = run(
            *("info", folder, "--provider", "openvino", "--provider-option", option), cwd=tmp_path
        )
        assert (process.returncode, process.stdout) == (2, "")
        # What OpenVINO logs by itself may stand before the line.
        assert process.stderr.splitlines()[-1].startswith("gpt2-edge: ")
        assert message in process.stderr
        assert "Traceback" not in process.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_threads_are_openvinos_too(random_package: Export) -> None:
    def threads_with(threads: int) -> int:
        code = (
            "import os, sys; from gpt2_edge import Generator; "
            "Generator.load(sys.argv[1], provider='openvino', threads=int(sys.argv[2])); "
            "print(len(os.listdir('/proc/self/task')))"
        )
        command = [sys.executable, "-c", code, folder, str(threads)]
        return int(subprocess.run(command, capture_output=True, check=True, env=os.environ).stdout)

    folder = random_package(flavour="static")
    assert threads_with(1) < threads_with(8)
