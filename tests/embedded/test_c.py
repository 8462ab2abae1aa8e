"""examples/c beside the Python runtime: the same tokens from the same library."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from c_example import build, ids_of
from gpt2_edge import Generator
from gpt2_edge_export.export import ExportOptions, export_package

# Prompts of one token, of parts, and of 256 + 1 and 128 + 1, where the rule of parts matters.
PROMPTS = ([41], [6968, 5217, 4187], [*range(300, 430)], [*range(1000, 1257)])
SETTINGS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["--top-k", "40", "--seed", "7"], {"top_k": 40, "seed": 7}),
    (
        ["--top-k", "5", "--temperature", "1.7", "--seed", "123456789"],
        {"top_k": 5, "temperature": 1.7, "seed": 123456789},
    ),
]


@pytest.fixture(scope="module")
def program(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    capi = Path(onnxruntime.__file__).parent / "capi"
    return build(tools, capi, tmp_path_factory.mktemp("c"))


def with_cache(dtype: str, checkpoint: Path, folder: Path) -> Path:
    options = ExportOptions(recipe="fp32", cache_dtype=dtype, report=False)
    return export_package(checkpoint, folder / "package", options).package.folder


@pytest.fixture(scope="module")
def float16_cache(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_cache("float16", sample_checkpoint, tmp_path_factory.mktemp("float16"))


@pytest.fixture(scope="module")
def int8_cache(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_cache("int8", sample_checkpoint, tmp_path_factory.mktemp("int8"))


@pytest.mark.parametrize(
    "package", ["sample_fp32", "sample_int8", "sample_int4", "float16_cache", "int8_cache"]
)
def test_tokens(package: str, program: Path, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(package)
    generator = Generator.load(folder, provider="cpu")
    for prompt in PROMPTS:
        for options, settings in SETTINGS:
            expected = generator.generate(prompt, max_new_tokens=60, **settings).ids
            assert ids_of([program, folder, "-n", 60, *options, *prompt]) == list(expected)


def test_a_text_ends_with_its_end(program: Path, sample_int4: Path) -> None:
    generator = Generator.load(sample_int4, provider="cpu")
    options = {"max_new_tokens": 100, "top_k": 8000, "temperature": 2.5}
    results = (generator.generate([199], seed=seed, **options) for seed in range(500))
    seed, expected = next((n, r.ids) for n, r in enumerate(results) if r.finish_reason == "eos")
    assert 0 < len(expected) < 100
    asked = ["-n", 100, "--top-k", 8000, "--temperature", 2.5, "--seed", seed]
    assert ids_of([program, sample_int4, *asked, 199]) == list(expected)


Change = Callable[[dict[str, Any]], object]
PACKAGES: dict[str, Change] = {
    "another flavour": lambda raw: raw["graph"].update(cache="concat"),
    "a graph elsewhere": lambda raw: raw["graph"].update(file="../model.onnx"),
    "no graph": lambda raw: raw["graph"].update(file="none.onnx"),
    "a size of 0": lambda raw: raw["architecture"].update(num_heads=0),
    "a size below 0": lambda raw: raw["architecture"].update(num_layers=-1),
    "too many layers": lambda raw: raw["architecture"].update(num_layers=10**9),
    "another number of layers": lambda raw: raw["architecture"].update(num_layers=7),
    "another cache": lambda raw: raw["graph"].update(cache_dtype="float16"),
    "a cache of no kind": lambda raw: raw["graph"].update(cache_dtype="float64"),
    "another head size": lambda raw: raw["architecture"].update(head_size=32),
    "no sizes": lambda raw: raw.pop("architecture"),
}


@pytest.mark.parametrize("case", PACKAGES)
def test_a_wrong_package_is_one_line(
    case: str, program: Path, sample_fp32: Path, tmp_path: Path
) -> None:
    raw = json.loads((sample_fp32 / "manifest.json").read_text("utf-8"))
    PACKAGES[case](raw)
    (tmp_path / "manifest.json").write_text(json.dumps(raw))
    (tmp_path / "model.onnx").symlink_to(sample_fp32 / "model.onnx")
    assert_refused([program, tmp_path, 41])


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["41"], ["-n", "4"], ["-n", "0", "41"], ["-n", "600", "41"], ["-n", "x", "41"]),
        *(
            ["4x"],
            ["4.5"],
            ["-1"],
            ["8192"],
            ["--top-k", "0", "41"],
            ["--seed", "-1", "41"],
            ["41", "-n"],
        ),
        *(["--temperature", "nan", "41"], ["--top-p", "0.9", "41"], [""]),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: list[str], program: Path, sample_fp32: Path, tmp_path: Path
) -> None:
    package = tmp_path if arguments == ["41"] else sample_fp32
    assert_refused([program, package, *arguments])


def assert_refused(command: list[object]) -> None:
    process = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert process.returncode == 2, process
    assert process.stdout == ""
    assert process.stderr.startswith("gpt2: ")
    assert process.stderr.count("\n") == 1
