"""Packages of a tiny random model, a copy for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest


@pytest.fixture(scope="session")
def tiny(random_package: Callable[..., Path]) -> Path:
    return random_package()


@pytest.fixture(scope="session")
def tiny_static(random_package: Callable[..., Path]) -> Path:
    return random_package(flavour="static")


@pytest.fixture(scope="session")
def tiny_portable(random_package: Callable[..., Path]) -> Path:
    return random_package(flavour="portable")


@pytest.fixture(scope="session")
def tiny_stock(
    random_package: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder as optimum-cli would write it: no manifest, another producer."""
    package = random_package(flavour="portable")
    folder = tmp_path_factory.mktemp("stock")
    model = onnx.load(package / "model.onnx")
    model.producer_name = "pytorch"
    (kept,) = (entry for entry in model.graph.input if entry.name == "logits_to_keep")
    model.graph.input.remove(kept)
    onnx.save(model, folder / "model.onnx")
    shutil.copy(package / "config.json", folder / "config.json")
    return folder


@pytest.fixture
def package(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "package"))


@pytest.fixture
def static(tiny_static: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_static, tmp_path / "static"))


@pytest.fixture
def portable(tiny_portable: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_portable, tmp_path / "portable"))


@pytest.fixture
def stock(tiny_stock: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_stock, tmp_path / "stock"))
