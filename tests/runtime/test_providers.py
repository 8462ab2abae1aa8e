"""Choosing an execution provider, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxruntime as ort
import pytest

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import ProviderError
from gpt2_edge.package import open_package
from gpt2_edge.providers import PROVIDERS, candidates, check_placed, onnx_providers
from gpt2_edge.session import Session

ABSENT = [
    name
    for name, provider in PROVIDERS.items()
    if provider.onnx_name not in ort.get_available_providers()
]


@pytest.mark.parametrize("name", ABSENT)
def test_a_provider_that_is_absent_is_one_line_with_its_wheel(sample_fp32: Path, name: str) -> None:
    with pytest.raises(ProviderError) as raised:
        Generator.load(sample_fp32, provider=name)
    message = str(raised.value)
    assert "\n" not in message
    assert f"provider {name} is not in this ONNX Runtime" in message
    assert PROVIDERS[name].source in message


def test_an_unknown_provider(sample_fp32: Path) -> None:
    with pytest.raises(ProviderError, match="'gpu' is not one of auto, cpu, cuda"):
        Generator.load(sample_fp32, provider="gpu")


def test_auto_takes_what_is_there(sample_fp32: Path) -> None:
    generator = Generator.load(sample_fp32)
    assert generator.session.provider == candidates("auto", "fused")[0]
    result = generator.generate("It was", GenerationConfig(max_new_tokens=2))
    assert result.provider == generator.session.provider


@pytest.mark.parametrize("flavour", ["fused", "portable", "static"])
def test_auto_ends_with_the_cpu_and_prefers_what_suits_the_graph(
    monkeypatch: pytest.MonkeyPatch, flavour: str
) -> None:
    everything = [provider.onnx_name for provider in PROVIDERS.values()]
    monkeypatch.setattr(ort, "get_available_providers", lambda: everything)
    names = candidates("auto", flavour)
    assert names[-1] == "cpu"
    assert len(names) > 1
    assert all(flavour in PROVIDERS[name].flavours for name in names)
    assert candidates("tensorrt", flavour) == ["tensorrt"]


def test_the_cpu_is_behind_every_provider() -> None:
    assert onnx_providers("cpu", {}) == ["CPUExecutionProvider"]
    assert onnx_providers("cuda", {}) == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert onnx_providers("cuda", {"device_id": "1"}) == [
        ("CUDAExecutionProvider", {"device_id": "1"}),
        "CPUExecutionProvider",
    ]


@pytest.mark.parametrize("flavour", ["fused", "portable", "static"])
def test_nodes_are_those_of_the_graph(random_package: Callable[..., Path], flavour: str) -> None:
    package = open_package(random_package(flavour=flavour))
    session = Session(package, provider="cpu", count_nodes=True)
    assert session.nodes is not None
    assert session.nodes.keys() == {"CPUExecutionProvider"}
    assert session.nodes["CPUExecutionProvider"] > 10
    assert Session(package, provider="cpu").nodes is None


def test_a_provider_that_takes_nothing_is_refused() -> None:
    with pytest.raises(ProviderError, match=r"took none of the 80 nodes .*--flavour static"):
        check_placed("nnapi", "fused", {"CPUExecutionProvider": 80})
    check_placed("nnapi", "static", {"CPUExecutionProvider": 2, "NnapiExecutionProvider": 78})
