"""What is believed of a provider that computes a graph in two ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gpt2_edge.errors import ProviderError
from gpt2_edge.files.package import open_package
from gpt2_edge.graph.cache import SharedCache, shared_buffers
from gpt2_edge.graph.providers import left_to_cpu
from gpt2_edge.graph.session import Session, TokenSequence
from gpt2_edge.graph.trial import Trial, try_steps

Floats = npt.NDArray[np.float32]
LOGITS = np.random.default_rng(0).normal(size=(101, 101)).astype(np.float32)


class Scripted:
    """Logits of a table; `several` and `single` are added to what such steps give."""

    def __init__(self, several: float = 0, single: float = 0) -> None:
        self._several, self._single = several, single

    def feed(self, ids: Sequence[int], keep: int = 1) -> Floats:
        # Not the same in all places, as a shift would be.
        wrong = (self._several if len(ids) > 1 else self._single) * LOGITS[::-1][list(ids)]
        rows: Floats = (LOGITS[list(ids)] + wrong).astype(np.float32)
        return rows[-keep:] if keep else rows


@pytest.mark.parametrize(
    ("provider", "expected", "asked"),
    [
        (Scripted(), Trial(True, True, False), 0),
        (Scripted(several=0.02), Trial(True, True, False), 0),  # rounding noise
        (Scripted(several=1), Trial(False, True, False), 1),
        (Scripted(single=1), Trial(True, False, False), 1),
        (Scripted(several=float("nan")), Trial(False, True, False), 1),
        (Scripted(single=float("nan")), Trial(True, False, False), 1),
        # Both are near enough to the CPU's, if not to each other.
        (Scripted(several=0.06, single=-0.06), Trial(True, True, False), 1),
    ],
)
def test_the_cpu_is_asked_where_a_provider_disagrees_with_itself(
    random_package: Callable[..., Path], provider: Scripted, expected: Trial, asked: int
) -> None:
    package = open_package(random_package())
    asks: list[int] = []

    def on_cpu() -> Callable[[int], Scripted]:
        asks.append(1)
        return lambda capacity: Scripted()

    assert try_steps(package, lambda capacity: provider, on_cpu) == expected
    assert len(asks) == asked


def test_a_provider_whose_single_steps_are_wrong_is_refused(
    random_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CUDA's were while a stale cache stayed bound: one by one would make everything wrong."""
    package = open_package(random_package())
    feed, tried = TokenSequence.feed, SimpleNamespace(session=None)

    def wrong_one_by_one(self: TokenSequence, ids: Sequence[int], keep: int = 1) -> Floats:
        tried.session = tried.session or self._session
        logits = feed(self, ids, keep)
        wrong = self._session is tried.session and len(ids) == 1 and self.length > 2
        return np.roll(logits, 1) if wrong else logits

    monkeypatch.setattr(TokenSequence, "feed", wrong_one_by_one)
    with pytest.raises(ProviderError, match="has other logits on cpu than on the CPU"):
        Session(package, provider="cpu", count_nodes=True)


class Graph:
    """The account that ONNX Runtime keeps: (provider, operators) of each subgraph."""

    def __init__(self, *subgraphs: tuple[str, list[str]]) -> None:
        self._subgraphs = subgraphs

    def get_provider_graph_assignment_info(self) -> list[Any]:
        def subgraph(name: str, operators: list[str]) -> Any:
            nodes = [SimpleNamespace(op_type=operator) for operator in operators]
            return SimpleNamespace(ep_name=name, get_nodes=lambda: nodes)

        return [subgraph(*each) for each in self._subgraphs]


def test_where_attention_is_computed() -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    graph: Any = Graph((cuda, ["MatMul"]), (cpu, ["Gather", "GroupQueryAttention"]))
    assert left_to_cpu(graph, "GroupQueryAttention")
    graph = Graph((cuda, ["MatMul", "GroupQueryAttention"]), (cpu, ["Gather"]))
    assert not left_to_cpu(graph, "GroupQueryAttention")
    without_account: Any = object()  # ONNX Runtime before 1.24
    assert not left_to_cpu(without_account, "GroupQueryAttention")


class Binding:
    """Counts what is bound, and gives what lies on a device."""

    def __init__(self, presents: int) -> None:
        self.inputs, self._presents = 0, presents

    def bind_ortvalue_input(self, name: str, value: object) -> None:
        self.inputs += 1

    def bind_ortvalue_output(self, name: str, value: object) -> None: ...

    def bind_output(self, name: str, device: str) -> None: ...

    def get_outputs(self) -> list[object]:
        return [object()] * (1 + self._presents)


@pytest.mark.parametrize(("device", "bindings"), [("cpu", 1), ("cuda", 4)])
def test_on_a_device_the_cache_is_bound_anew_for_each_step(
    random_package: Callable[..., Path], device: str, bindings: int
) -> None:
    """A node that runs on the CPU gets a copy of what is bound, at the moment when it is bound."""
    manifest = open_package(random_package()).manifest
    buffers = shared_buffers(manifest.architecture, manifest.graph, 1, 8)
    cache = SharedCache(manifest.architecture, manifest.graph, buffers, device)
    binding = Binding(len(buffers))
    for _ in range(4):
        cache.bind(binding)
        cache.advance(binding, 1)
    assert binding.inputs == bindings * len(buffers)
