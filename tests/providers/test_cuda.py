"""The flavours fused and portable on an NVIDIA GPU, in an environment with onnxruntime-gpu.

tools/test-providers.sh runs these where nvidia-smi finds a GPU; without the wheel they are skipped.
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
from gpt2_edge.graph.session import TokenSequence
from gpt2_edge_export.export import ExportOptions, export_package

pytestmark = pytest.mark.skipif(
    "CUDAExecutionProvider" not in ort.get_available_providers(),
    reason="needs onnxruntime-gpu: tools/test-providers.sh",
)
PROMPT = "It was a dark night, and the"
GREEDY = GenerationConfig(max_new_tokens=24, ignore_eos=True, do_sample=False)
IDS = np.random.default_rng(4).integers(0, 101, 50).tolist()
Export = Callable[..., Path]


@pytest.fixture(scope="module")
def sample(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A function (flavour, recipe, compute) -> package of the sample model, not calibrated."""
    made: dict[tuple[str, ...], Path] = {}

    def make(flavour: str, recipe: str, compute: str = "float32") -> Path:
        if (flavour, recipe, compute) not in made:
            options = ExportOptions(
                recipe=recipe, flavour=flavour, compute_dtype=compute, cache_dtype=compute,
                report=False, calibration=False,
            )  # fmt: skip
            folder = tmp_path_factory.mktemp("sample") / "package"
            package = export_package(sample_checkpoint, folder, options).package
            made[flavour, recipe, compute] = package.folder
        return made[flavour, recipe, compute]

    return make


# Of the logits' spread. Rounded activations make a last bit a step (docs/ARCHITECTURE.md); TF32
# and float16 round products.
@pytest.mark.parametrize(
    ("flavour", "recipe", "compute", "tolerance"),
    [
        ("fused", "fp32", "float32", 1e-2),
        ("fused", "int8", "float32", 0.1),
        ("fused", "int8-row", "float32", 0.1),
        ("fused", "int4", "float32", 0.1),
        ("fused", "fp16", "float16", 1e-2),
        ("fused", "int4", "float16", 0.1),
        ("portable", "fp32", "float32", 1e-2),
        ("portable", "int8", "float32", 0.1),
        ("portable", "int4", "float32", 0.1),
    ],
)
def test_the_sample_has_the_logits_of_the_cpu(
    sample: Export, flavour: str, recipe: str, compute: str, tolerance: float
) -> None:
    folder = sample(flavour, recipe, compute)
    cuda = Generator.load(folder, provider="cuda")
    cpu = Generator.load(folder, provider="cpu")
    assert cuda.session.step_limit is None
    assert cuda.session.nodes is not None
    assert cuda.session.nodes["cuda"] > cuda.session.nodes.get("cpu", 0)
    ids = cpu.encode(PROMPT)
    expected = cpu.logits(ids)
    assert np.abs(cuda.logits(ids) - expected).mean() / expected.std() < tolerance
    if recipe.startswith("fp"):
        assert cuda.generate(ids, GREEDY).ids == cpu.generate(ids, GREEDY).ids


def test_auto_takes_it(random_package: Export) -> None:
    for flavour in ("fused", "portable"):
        assert Generator.load(random_package(flavour=flavour)).session.provider == "cuda"
    # Its delta cache is the host's, so nothing would be gained.
    assert Generator.load(random_package(flavour="static")).session.provider == "cpu"


def test_the_target_cuda_passes_its_self_test(sample_checkpoint: Path, tmp_path: Path) -> None:
    """What `export --target cuda` makes: int4 with products and cache in float16."""
    folder = tmp_path / "package"
    exported = run(
        "export", sample_checkpoint, "-o", folder, "--target", "cuda", "--no-report", cwd=tmp_path
    )
    assert exported.returncode == 0, exported.stderr
    checked = run("verify", folder, "--provider", "cuda", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr + checked.stdout


@pytest.mark.parametrize(("recipe", "compute"), [("fp32", "float32"), ("int4", "float16")])
def test_texts_do_not_depend_on_their_neighbours(sample: Export, recipe: str, compute: str) -> None:
    generator = Generator.load(sample("fused", recipe, compute), provider="cuda")
    prompts = ["The sea", "It was a dark night, and", "My dear", "What do you", "London", "He"]
    together = generator.generate_batch(prompts, GREEDY)
    pairs = generator.generate_batch(prompts[2:4], GREEDY)
    assert [result.ids for result in together[2:4]] == [result.ids for result in pairs]


def test_the_cache_stays_on_the_device_and_one_row_comes_back(sample: Export) -> None:
    generator = Generator.load(sample("fused", "int4", "float16"), provider="cuda")
    sequence = generator.session.start(32)
    assert isinstance(sequence, TokenSequence)
    addresses = []
    for ids in (IDS[:3], IDS[3:4], IDS[4:5]):
        rows = sequence.feed(ids)
        assert rows.shape == (1, 8192)
        logits, *presents = sequence._run._binding.get_outputs()
        assert (logits.device_name(), logits.shape()) == ("cpu", [1, 1, 8192])
        assert len(presents) == 12
        assert {value.device_name() for value in presents} == {"cuda"}
        addresses.append([value.data_ptr() for value in presents])
    assert addresses[1] == addresses[2]  # written where it lies: no step copies it


def test_a_float32_cache_lies_where_its_attention_is_computed(random_package: Export) -> None:
    """On CUDA GroupQueryAttention takes float16 only, the CPU the rest."""
    generator = Generator.load(random_package(), provider="cuda")
    assert (generator.session.provider, generator.session.device) == ("cuda", "cpu")
    batch = generator.generate_batch([IDS[:5], IDS[5:11], IDS[11:20]], GREEDY)
    cpu = Generator.load(random_package(), provider="cpu")
    expected = [cpu.generate(ids, GREEDY).ids for ids in (IDS[:5], IDS[5:11], IDS[11:20])]
    assert [result.ids for result in batch] == expected


def test_a_cache_that_forgets_gives_the_same_logits(random_package: Export) -> None:
    for flavour in ("fused", "portable"):
        generator = Generator.load(random_package(flavour=flavour), provider="cuda")
        expected = Generator.load(random_package(flavour=flavour), provider="cpu").logits(IDS)
        np.testing.assert_allclose(generator.logits(IDS), expected, rtol=0, atol=1e-2)
        fed = generator.session.start(64)
        fed.prefill(IDS[:40])
        fed.trim(30)
        np.testing.assert_allclose(fed.feed(IDS[30:])[-1], expected[-1], rtol=0, atol=1e-2)


def test_a_sequence_may_outlive_its_generator(random_package: Export) -> None:
    """Device memory freed behind its session would crash the process."""
    code = (
        "import sys; from gpt2_edge import Generator; "
        "generator = Generator.load(sys.argv[1], provider='cuda'); "
        "sequence = generator.session.start(8); sequence.feed([1]); sequence.feed([2]); "
        "del generator; del sequence; print('alive')"
    )
    command = [sys.executable, "-c", code, random_package()]
    process = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert (process.returncode, process.stdout) == (0, "alive\n"), process.stderr


def test_a_wrong_option_ends_in_one_line(random_package: Export, tmp_path: Path) -> None:
    process = run(
        *("generate", random_package(), "--ids", "1", "--provider", "cuda"),
        *("--provider-option", "device_id=99"),
        cwd=tmp_path,
    )
    assert (process.returncode, process.stdout) == (2, "")
    # What CUDA's provider logs by itself, the reason, stands before the line.
    assert process.stderr.splitlines()[-1].startswith("gpt2-edge: provider cuda does not start")
    assert "Traceback" not in process.stderr
