"""Packages of a tiny random model, a copy for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

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


@pytest.fixture
def package(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "package"))


@pytest.fixture
def static(tiny_static: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_static, tmp_path / "static"))


@pytest.fixture
def portable(tiny_portable: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_portable, tmp_path / "portable"))
