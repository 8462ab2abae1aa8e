"""The fused flavour on WebGPU, in the environment of its wheel; a software GPU will do.

tools/test-providers.sh runs these there; without the wheel they are skipped. A software GPU takes
a second and more for a step of the sample model: few tokens of it, the rest on random weights.
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

from cli.command import run
from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import ProviderError
from gpt2_edge.graph.session import TokenSequence
from gpt2_edge_export.export import ExportOptions, export_package
from helpers import assert_one_line

pytestmark = pytest.mark.skipif(
    "WebGpuExecutionProvider" not in ort.get_available_providers(),
    reason="needs onnxruntime-webgpu: tools/test-providers.sh",
)
IDS = np.random.default_rng(4).integers(0, 101, 50).tolist()
Export = Callable[..., Path]


@pytest.mark.parametrize("recipe", ["fp32", "int4"])
def test_the_sample_has_the_tokens_of_the_cpu(
    sample_checkpoint: Path, tmp_path: Path, recipe: str
) -> None:
    options = ExportOptions(recipe=recipe, report=False, calibration=False)
    folder = export_package(sample_checkpoint, tmp_path / "package", options).package.folder
    config = GenerationConfig(max_new_tokens=5, ignore_eos=True)
    result = Generator.load(folder, provider="webgpu").generate("It was a dark night", config)
    expected = Generator.load(folder, provider="cpu").generate("It was a dark night", config)
    assert result.ids == expected.ids
    assert result.provider == "webgpu"
    assert result.nodes is not None
    assert result.nodes["webgpu"] > 4 * result.nodes.get("cpu", 0)


@pytest.fixture(scope="module")
def tiny(random_package: Export) -> Generator:
    """Random weights in fp32, on what "auto" takes for a fused graph."""
    return Generator.load(random_package())


def test_auto_takes_it_for_fused(tiny: Generator) -> None:
    assert tiny.session.provider == "webgpu"


def assert_as_the_cpu(webgpu: Generator, length: int, atol: float) -> None:
    """Logits of a prompt, and of one behind a cache that forgot some of it."""
    expected = Generator.load(webgpu.package.folder, provider="cpu").logits(IDS[:length])
    np.testing.assert_allclose(webgpu.logits(IDS[:length]), expected, rtol=0, atol=atol)
    fed = webgpu.session.start(32)
    fed.prefill(IDS[: length - 1])
    fed.trim(length - 3)
    rest = fed.feed(IDS[length - 3 : length])
    np.testing.assert_allclose(rest[-1], expected[-1], rtol=0, atol=atol)


def test_logits_are_those_of_the_cpu(tiny: Generator) -> None:
    """Also where attention to five tokens and more is wrong, as on SwiftShader."""
    assert_as_the_cpu(tiny, 7, 1e-4)


def test_integer_products_are_those_of_the_cpu(random_package: Export) -> None:
    assert_as_the_cpu(Generator.load(random_package("int8"), provider="webgpu"), 5, 0.3)


def test_the_cache_stays_on_the_device_and_one_row_comes_back(tiny: Generator) -> None:
    sequence = tiny.session.start(32)
    assert isinstance(sequence, TokenSequence)
    addresses = []
    for ids in (IDS[:3], IDS[3:4], IDS[4:5]):
        rows = sequence.feed(ids)
        assert rows.shape == (1, 101)
        logits, *presents = sequence._run._binding.get_outputs()
        assert (logits.device_name(), logits.shape()) == ("cpu", [1, 1, 101])
        assert len(presents) == 4
        assert all(value.device_name() != "cpu" for value in presents)
        assert all(value.shape() == [1, 2, 32, 16] for value in presents)
        addresses.append([value.data_ptr() for value in presents])
    assert addresses[1] == addresses[2]  # written where it lies: no step copies it


def test_a_sequence_may_outlive_its_generator(random_package: Export) -> None:
    """Device memory freed behind its session would crash the process."""
    code = (
        "import sys; from gpt2_edge import Generator; "
        "generator = Generator.load(sys.argv[1], provider='webgpu'); "
        "sequence = generator.session.start(8); sequence.feed([1]); sequence.feed([2]); "
        "del generator; del sequence; print('alive')"
    )
    command = [sys.executable, "-c", code, random_package()]
    process = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert (process.returncode, process.stdout) == (0, "alive\n"), process.stderr


def test_products_in_float16_where_the_device_has_it(
    random_package: Export, tmp_path: Path
) -> None:
    checkpoint = random_package().parent / "checkpoint"
    options = ExportOptions(
        recipe="int4", compute_dtype="float16", cache_dtype="float16", tokenizer=False
    )
    folder = export_package(checkpoint, tmp_path / "package", options).package.folder
    try:
        generator = Generator.load(folder, provider="webgpu")
    except ProviderError as error:
        assert_one_line(error, "requires f16 but the device does not support it")
        pytest.skip("this device has no float16")
    expected = Generator.load(folder, provider="cpu").logits(IDS[:4])
    np.testing.assert_allclose(generator.logits(IDS[:4]), expected, rtol=0, atol=0.1)


def test_an_unknown_option_is_one_line(random_package: Export, tmp_path: Path) -> None:
    process = run(
        *("generate", random_package(), "--ids", "1", "--provider", "webgpu"),
        *("--provider-option", "deviceIdd=1"),
        cwd=tmp_path,
    )
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("gpt2-edge: provider webgpu has no option 'deviceIdd'; it has")
    assert process.stderr.count("\n") == 1
