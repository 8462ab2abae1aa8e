"""Choosing an execution provider, and what is said of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import ProviderError
from gpt2_edge.files.package import open_package
from gpt2_edge.graph.providers import (
    PROVIDERS,
    candidates,
    check_options,
    check_placed,
    onnx_providers,
)
from gpt2_edge.graph.session import Session, TokenSequence
from gpt2_edge.graph.static_sequence import StaticSequence

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
    assert result.nodes == generator.session.nodes


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


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_auto_falls_back_where_a_provider_does_not_start(
    sample_fp32: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One that is listed and does not start; by its name it is refused."""
    everything = [provider.onnx_name for provider in PROVIDERS.values()]
    absent = next(name for name in candidates_of(everything, monkeypatch) if name in ABSENT)
    with pytest.raises(ProviderError, match=f"provider {absent} does not start on this machine"):
        Generator.load(sample_fp32, provider=absent)
    assert Generator.load(sample_fp32).session.provider not in ABSENT
    assert capfd.readouterr().out == ""  # where text goes


def candidates_of(installed: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What "auto" tries for a fused graph where ONNX Runtime lists `installed`."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: installed)
    return candidates("auto", "fused")


def test_the_cpu_is_behind_every_provider() -> None:
    assert onnx_providers("cpu", {}) == ["CPUExecutionProvider"]
    assert onnx_providers("cuda", {}) == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert onnx_providers("cuda", {"device_id": "1"}) == [
        ("CUDAExecutionProvider", {"device_id": "1"}),
        "CPUExecutionProvider",
    ]


def test_threads_are_told_to_providers_that_have_their_own() -> None:
    assert onnx_providers("cpu", {}, 2) == ["CPUExecutionProvider"]
    told = ("OpenVINOExecutionProvider", {"num_of_threads": "2"})
    assert onnx_providers("openvino", {}, 2) == [told, "CPUExecutionProvider"]
    chosen = onnx_providers("openvino", {"num_of_threads": "3"}, 2)[0]
    assert chosen[1] == {"num_of_threads": "3"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("auto", {"device_id": "1"}, "go with a provider by name, not with auto"),
        ("cpu", {"device_id": "1"}, "provider cpu takes no options; leave out device_id"),
        ("webgpu", {"deviceld": "1"}, "webgpu has no option 'deviceld'; it has .*deviceId"),
    ],
)
def test_options_that_nothing_reads(name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(ProviderError, match=message):
        check_options(name, options)
    check_options(name, {})


@pytest.mark.parametrize("flavour", ["fused", "portable", "static"])
def test_nodes_are_those_of_the_graph(random_package: Callable[..., Path], flavour: str) -> None:
    package = open_package(random_package(flavour=flavour))
    session = Session(package, provider="cpu", count_nodes=True)
    assert session.nodes is not None
    assert session.nodes.keys() == {"cpu"}
    graphs = [onnx.load(path).graph for path in package.folder.glob("*.onnx")]
    written = sum(len(graph.node) for graph in graphs)
    # ONNX Runtime folds some and takes some apart; a count of what several runs compute is larger.
    assert written / 2 < session.nodes["cpu"] < 1.5 * written


def test_no_profile_is_left_behind(
    random_package: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = open_package(random_package())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Session(package, provider="cpu", count_nodes=True)
    monkeypatch.setattr(Session, "start", lambda self, capacity: 1 / 0)
    with pytest.raises(ProviderError, match="division by zero"):
        Session(package, provider="cpu", count_nodes=True)
    assert list(tmp_path.iterdir()) == []


def test_steps_of_several_tokens_that_are_wrong_are_not_taken(
    random_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As WebGPU's attention on a software GPU: tokens go one by one then, and come out right."""
    package = open_package(random_package())
    right = Session(package, provider="cpu", count_nodes=True)
    assert right.step_limit is None
    feed = TokenSequence.feed

    def wrong_from_five_on(
        self: TokenSequence, ids: Sequence[int], keep: int = 1
    ) -> npt.NDArray[np.float32]:
        logits = feed(self, ids, keep)
        return np.roll(logits, 1) if len(ids) > 4 and self._step_limit is None else logits

    monkeypatch.setattr(TokenSequence, "feed", wrong_from_five_on)
    limited = Session(package, provider="cpu", count_nodes=True)
    assert limited.step_limit == 1
    ids = list(range(20))
    expected = feed(right.start(20), ids, 0)
    np.testing.assert_allclose(limited.start(20).feed(ids, 0), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(limited.start(20).feed(ids, 3), expected[-3:], rtol=0, atol=1e-4)


def test_a_provider_that_gives_the_last_row_only(
    random_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenVINO's, which takes the default of logits_to_keep for a constant."""
    package = open_package(random_package())
    right = Session(package, provider="cpu").start(20)
    feed = TokenSequence.feed

    def last_row(self: TokenSequence, ids: Sequence[int], keep: int = 1) -> npt.NDArray[np.float32]:
        logits = feed(self, ids, keep)
        return logits if self._last_row_only else logits[-1:]

    monkeypatch.setattr(TokenSequence, "feed", last_row)
    session = Session(package, provider="cpu", count_nodes=True)
    assert (session.last_row_only, session.step_limit) == (True, None)
    ids = list(range(20))
    expected = feed(right, ids, 0)
    for keep in (0, 1, 3, 20):
        np.testing.assert_allclose(
            session.start(20).feed(ids, keep), expected[-keep:], rtol=0, atol=1e-4
        )


def test_both_graphs_of_a_static_package_are_tried(
    random_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that only a run gives away would else be counted in one of them."""
    package = open_package(random_package(flavour="static"))
    run, used = StaticSequence._run, set()

    def recorded(self: StaticSequence, graph: Any, ids: Sequence[int]) -> Any:
        used.add(graph.tokens)
        return run(self, graph, ids)

    monkeypatch.setattr(StaticSequence, "_run", recorded)
    session = Session(package, provider="cpu", count_nodes=True)
    assert used == {1, 32}
    assert (session.last_row_only, session.step_limit) == (False, None)


def test_a_provider_that_takes_nothing_is_refused() -> None:
    message = (
        r"took none of the 80 nodes of this graph; this package is --flavour fused, and nnapi "
        r"takes --flavour static"
    )
    with pytest.raises(ProviderError, match=message):
        check_placed("nnapi", "fused", {"cpu": 80})
    with pytest.raises(ProviderError, match=r"and qnn takes --flavour static \(--target npu\)"):
        check_placed("qnn", "fused", {"cpu": 80})
    check_placed("nnapi", "static", {"cpu": 2, "nnapi": 78})
