"""Packages of the sample model in every flavour and recipe that other loaders take."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecosystem.variants import VARIANTS, Prompt, Variant
from gpt2_edge import Generator
from gpt2_edge_export.export import ExportOptions, export_package
from gpt_neo import neo_of_gpt2

_WINDOW = 8
_PROMPTS = (
    "The man in the boat said that he",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the",
    '"What do you',
    "He was obliged to",
)


@pytest.fixture(scope="session", params=VARIANTS, ids=str)
def package(
    request: pytest.FixtureRequest,
    sample_checkpoint: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Each variant in turn, rounded plainly where it can be: calibration takes long."""
    variant: Variant = request.param
    options = ExportOptions(
        recipe=variant.recipe,
        flavour=variant.flavour,
        cache_dtype=variant.cache_dtype,
        calibration=None if variant.cache_dtype == "int8" else False,
        report=False,
    )
    folder = tmp_path_factory.mktemp("ecosystem") / str(variant)
    checkpoint = sample_checkpoint
    if variant.neo:
        checkpoint = neo_of_gpt2(sample_checkpoint, folder.with_name("checkpoint"), _WINDOW)
    return export_package(checkpoint, folder, options).package.folder


@pytest.fixture(scope="session")
def ours(package: Path) -> Generator:
    return Generator.load(package, provider="cpu")


@pytest.fixture(scope="session")
def prompts(sample_fp32: Path) -> list[Prompt]:
    generator = Generator.load(sample_fp32)
    return [Prompt(text, generator.encode(text)) for text in _PROMPTS]
