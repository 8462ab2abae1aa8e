"""What of a prompt goes through the graph for prompts, and how exactly that graph computes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from gpt2_edge.decode.rows import SharedRows
from gpt2_edge.files.cache_entry import Stored
from gpt2_edge.files.integer_products import IntegerProducts
from gpt2_edge.files.machine_cache import MachineCache
from gpt2_edge.files.package import open_package
from gpt2_edge.files.prompt_graph import prompt_graph
from gpt2_edge.graph import prompt_form
from gpt2_edge.graph.cache import SharedCache, shared_buffers
from gpt2_edge.graph.prompt_form import optimize_prompts
from gpt2_edge.graph.run import GraphRun
from gpt2_edge.graph.session import Session
from gpt2_edge.graph.token_sequence import TokenSequence

Floats = npt.NDArray[np.float32]
IDS = [i * 41 % 8000 for i in range(40)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MachineCache:
    monkeypatch.setenv("GPT2_EDGE_CACHE", str(tmp_path / "cache"))
    return MachineCache.default()


@pytest.fixture
def stored(sample_int4: Path, cache: MachineCache) -> Stored:
    """The graph for prompts, whether or not it is faster on this machine."""
    made, reason = optimize_prompts(open_package(sample_int4), cache, least_gain=0)
    assert made is not None, reason
    return made


def opened(package: Path, cache: MachineCache, prompt_weights: bool = True) -> Session:
    found = open_package(package)
    return Session(found, provider="cpu", cache=cache, prompt_weights=prompt_weights)


# Up to four tokens alone, and behind a part of sixteen.
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 18, 19, 20])
def test_short_parts_go_through_it_too(
    sample_int4: Path, cache: MachineCache, stored: Stored, length: int
) -> None:
    session, ids = opened(sample_int4, cache), IDS[:length]
    assert session.prompts is not None
    manifest = session.package.manifest
    buffers = shared_buffers(manifest.architecture, manifest.graph, 1, 40)
    whole = SharedCache(manifest.architecture, manifest.graph, buffers)
    expected = GraphRun(session.prompts, whole, 1, 40).one(ids, 0)[-1].copy()
    own = opened(sample_int4, cache, prompt_weights=False).start(40)
    assert isinstance(own, TokenSequence)
    assert np.abs(own.prefill(ids, 16) - expected).max() > 0  # so that the two can be told apart
    alone = session.start(40)
    assert isinstance(alone, TokenSequence)
    np.testing.assert_array_equal(alone.prefill(ids, 16), expected)
    rows = SharedRows(session, 2, 40)
    logits, left = None, [ids[:16], ids[16:]]
    for part in filter(None, left):
        _, logits = rows.read(1, part)
    np.testing.assert_array_equal(logits, expected)


@pytest.mark.parametrize("unsigned", [False, True])
def test_what_goes_into_attention_is_rounded_to_sixteen_bits(unsigned: bool) -> None:
    """Through weights of 1 each value comes back, by at most half a step of the second product."""
    width = 64
    rows = np.random.default_rng(0).normal(0, 1, (1, 50, width)).astype(np.float32)
    fine, coarse = (_through_products(rows, finely, unsigned) for finely in (True, False))
    steps = np.abs(rows).max(-1, keepdims=True) / 127
    assert (np.abs(coarse - rows) / steps).max() == pytest.approx(1 / 2, rel=0.02)
    assert (np.abs(fine - rows) / steps).max() == pytest.approx(1 / 2 / 254, rel=0.1)


@pytest.mark.parametrize("finely", [False, True])
def test_unsigned_weights_give_what_signed_ones_do(finely: bool) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 1, (1, 5, 64)).astype(np.float32)
    weights = rng.integers(-60, 61, (64, 64)).astype(np.int8)  # sums that no processor saturates
    signed, unsigned = (_through_products(rows, finely, form, weights) for form in (False, True))
    np.testing.assert_array_equal(signed, unsigned)


@pytest.mark.parametrize("overflow", [False, True])
def test_weights_are_unsigned_where_signed_ones_overflow(
    sample_int4: Path, cache: MachineCache, monkeypatch: pytest.MonkeyPatch, overflow: bool
) -> None:
    """ONNX Runtime would make them so itself, but refuses those that two products share."""
    saved: list[bytes] = []
    monkeypatch.setattr(prompt_form, "signed_weights_overflow", lambda: overflow)
    monkeypatch.setattr(prompt_form, "save_form", lambda graph, *_: saved.append(graph))
    monkeypatch.setattr(prompt_form, "_compared", lambda *_: "not compared")
    optimize_prompts(open_package(sample_int4), cache)
    graph = onnx.ModelProto.FromString(saved[0]).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulIntegerToFloat"]
    expected = TensorProto.UINT8 if overflow else TensorProto.INT8
    assert {types[node.input[place]] for node in products for place in (1, 5)} == {expected}


def _through_products(
    rows: Floats, finely: bool, unsigned: bool, weights: npt.NDArray[np.int8] | None = None
) -> Floats:
    width = rows.shape[-1]
    writer = IntegerProducts(unsigned)
    if weights is None:  # 127 steps of 1/127: the largest integers, as `by_column` gives them
        weights = (np.eye(width) * 127).astype(np.int8)
    nodes = writer.product(
        "x",
        "y",
        weights,
        np.full(width, 1 / 127, np.float32),
        finely=finely,
        behind_gelu=False,
        bias="",
    )
    graph = onnx.GraphProto.FromString(b"".join([nodes, *writer.constants.values()]))
    graph.name = "products"
    for name, side in (("x", graph.input), ("y", graph.output)):
        side.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "S", width]))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: Floats = session.run(None, {"x": rows})[0]
    return result


def test_matrices_without_whole_columns_stay_as_they_are(
    random_package: Callable[..., Path],
) -> None:
    """ONNX Runtime before 1.25 computes an odd rest of columns wrong on a processor with AMX."""
    package = random_package("int4", n_embd=72, n_head=3)
    content = (package / "model.onnx").read_bytes()
    edited = onnx.ModelProto.FromString(prompt_graph(content, lambda *place: b"")).graph
    tensors = {tensor.name: tensor for tensor in edited.initializer}
    new = [node for node in edited.node if node.op_type == "MatMulIntegerToFloat"]
    kept = [node for node in edited.node if node.op_type == "MatMulNBits"]
    assert {numpy_helper.to_array(tensors[node.input[1]]).shape[1] for node in new} == {288}
    columns = {
        attribute.i
        for node in kept
        for attribute in node.attribute
        if attribute.name == "N" and "logits" not in node.output
    }
    assert columns == {72, 216}


def test_what_changes_while_it_loads_is_not_used(
    sample_int4: Path, cache: MachineCache, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = prompt_form._session

    def changing(folder: Path, threads: int | None) -> ort.InferenceSession:
        session = load(folder, threads)
        path = folder / "graph.onnx"
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
        return session

    monkeypatch.setattr(prompt_form, "_session", changing)
    assert opened(sample_int4, cache).prompts is None
    monkeypatch.undo()
    monkeypatch.setenv("GPT2_EDGE_CACHE", str(cache.folder))
    assert opened(sample_int4, cache).prompts is not None  # whose hashes are what they were


def test_what_another_process_replaces_while_it_loads_stays(
    sample_int4: Path, cache: MachineCache, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(folder: Path, threads: int | None) -> ort.InferenceSession:
        path = folder / "graph.onnx"
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
        raise RuntimeError("half of the one, half of the other")

    monkeypatch.setattr(prompt_form, "_session", replaced)
    assert opened(sample_int4, cache).prompts is None
    assert stored.folder.exists()
