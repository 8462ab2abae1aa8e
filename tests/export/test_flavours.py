"""The flavours portable and static: what they take, and that they compute what fused does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from byte_model import write_byte_checkpoint
from gpt2_edge import ContextOverflowError, GenerationConfig, Generator
from gpt2_edge.errors import ExportError
from gpt2_edge.graph.int8_overflow import signed_weights_overflow
from gpt2_edge_export.calibrate.ranges import full_range
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.graph.flavours import CHUNK, TARGETS, flavour_recipe
from helpers import random_config, random_tensors, write_checkpoint

IDS = np.random.default_rng(4).integers(0, 101, 50).tolist()
Export = Callable[..., Path]


@pytest.fixture(scope="module")
def byte_package(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A function (flavour, recipe, **options) -> calibrated package of a model that reads bytes."""
    checkpoint = write_byte_checkpoint(tmp_path_factory.mktemp("bytes") / "bytes")

    def make(flavour: str, recipe: str, **options: Any) -> Path:
        folder = tmp_path_factory.mktemp("package") / "package"
        chosen = ExportOptions(recipe=recipe, flavour=flavour, **options)
        return export_package(checkpoint, folder, chosen).package.folder

    return make


@pytest.mark.parametrize("flavour", ["portable", "static"])
def test_the_sample_computes_what_fused_does(
    sample_checkpoint: Path, sample_fp32: Path, tmp_path: Path, flavour: str
) -> None:
    options = ExportOptions(recipe="fp32", flavour=flavour, report=False)
    folder = export_package(sample_checkpoint, tmp_path / "package", options).package.folder
    fused, other = Generator.load(sample_fp32), Generator.load(folder)
    ids = fused.encode("It was a dark and stormy night; the rain fell in torrents, " * 6)
    np.testing.assert_allclose(other.logits(ids), fused.logits(ids), rtol=0, atol=1e-3)
    config = GenerationConfig(max_new_tokens=40)
    assert other.generate(ids, config).ids == fused.generate(ids, config).ids


@pytest.mark.parametrize(
    ("flavour", "recipe", "limit"),
    [("portable", "int8", 0.01), ("portable", "int4", 0.1), ("static", "int8", 0.02)],
)
def test_quantized_packages_stay_near_fp32(
    byte_package: Export, flavour: str, recipe: str, limit: float
) -> None:
    manifest = json.loads((byte_package(flavour, recipe) / "manifest.json").read_text("utf-8"))
    assert 0 < manifest["quality"]["mean_kl"] < limit
    assert len(manifest["self_test"]["expected_ids"]) > 0


@pytest.mark.parametrize("flavour", ["portable", "static"])
def test_fp16_stores_halves_and_computes_in_float32(random_package: Export, flavour: str) -> None:
    """No tensor of 16 bits is computed with: not every provider has them."""
    folder = random_package("fp16", flavour=flavour)
    for path in folder.glob("*.onnx"):
        graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
        halves = {
            entry.name for entry in graph.initializer if entry.data_type == onnx.TensorProto.FLOAT16
        }
        assert len(halves) > 5
        readers = {node.op_type for node in graph.node if halves & set(node.input)}
        assert readers == {"Cast"}
        assert all(
            entry.type.tensor_type.elem_type != onnx.TensorProto.FLOAT16
            for entry in graph.value_info
        )
    fp32 = random_package(flavour=flavour)
    np.testing.assert_allclose(
        Generator.load(folder).logits(IDS), Generator.load(fp32).logits(IDS), rtol=0, atol=0.02
    )


def test_portable_has_standard_operators_only(byte_package: Export) -> None:
    for recipe in ("fp32", "int8", "int4"):
        model = onnx.load(byte_package("portable", recipe, report=False) / "model.onnx")
        assert {node.domain for node in model.graph.node} == {""}
        onnx.checker.check_model(model, full_check=True)


def test_portable_pads_on_the_left(random_package: Export) -> None:
    """A prompt behind padding in a batch gives the logits that it gives alone."""
    folder = random_package(flavour="portable")
    alone = Generator.load(folder).logits(IDS[:5])[-1]
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    mask = np.array([[1] * 8, [0] * 3 + [1] * 5])
    empty = np.zeros((2, 2, 0, 16), np.float32)
    past = {entry.name: empty for entry in session.get_inputs() if entry.name.startswith("past")}
    feeds = {
        "input_ids": np.array([IDS[10:18], [0] * 3 + IDS[:5]]),
        "attention_mask": mask,
        "position_ids": np.maximum(mask.cumsum(1) - 1, 0),
    }
    (logits,) = session.run(["logits"], feeds | past)
    np.testing.assert_allclose(logits[1, -1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 2, 50])
def test_static_prefill_is_the_same_however_it_is_cut(random_package: Export, length: int) -> None:
    generator = Generator.load(random_package(flavour="static"))
    whole = generator.session.start(64).prefill(IDS[:length])
    for chunk in (1, 7, 32):
        parts = generator.session.start(64).prefill(IDS[:length], chunk=chunk)
        np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-5)


def test_a_static_prefill_can_be_stopped_before_every_run(random_package: Export) -> None:
    generator = Generator.load(random_package(flavour="static"))
    for allowed, fed in ((0, 0), (1, CHUNK), (2, 49)):  # 50 ids: a chunk, 17 more, the last
        answers = iter([False] * allowed + [True])
        sequence = generator.session.start(64)
        assert sequence.prefill(IDS, should_stop=lambda: next(answers)) is None  # noqa: B023
        assert sequence.length == fed


def test_a_static_sequence_forgets(random_package: Export) -> None:
    sequence = Generator.load(random_package(flavour="static")).session.start(64)
    expected = sequence.feed(IDS[:20])
    sequence.feed(IDS[20:30])
    sequence.trim(13)
    assert sequence.length == 13
    np.testing.assert_allclose(sequence.feed(IDS[13:20]), expected, rtol=0, atol=1e-5)


def test_a_static_past_is_the_context(random_package: Export, tmp_path: Path) -> None:
    checkpoint = random_package(flavour="static").parent / "checkpoint"
    options = ExportOptions(recipe="fp32", flavour="static", past=20, tokenizer=False)
    generator = Generator.load(
        export_package(checkpoint, tmp_path / "package", options).package.folder
    )
    with pytest.raises(ContextOverflowError, match=r"context holds 20: .*larger --past"):
        generator.generate(IDS[:21])
    result = generator.generate(IDS[:10], GenerationConfig(max_new_tokens=40, ignore_eos=True))
    assert (result.finish_reason, len(result.ids)) == ("length", 11)


def test_static_weights_are_stored_once(random_package: Export) -> None:
    folder = random_package(flavour="static")
    weights = (folder / "model.onnx_data").stat().st_size
    graphs = sum(path.stat().st_size for path in folder.glob("*.onnx"))
    parameters = 4 * sum(array.size for array in random_tensors(random_config()).values())
    assert weights < parameters + 40 * 4096  # each tensor starts at a page
    assert graphs < weights


@pytest.mark.parametrize(
    ("flavour", "recipe", "block_size", "message"),
    [
        ("fast", "fp32", None, "'fast' is not one of fused, portable, static"),
        ("static", "int4", None, "takes --recipe fp32, fp16 or int8, not int4"),
        ("portable", "int4-small", None, "takes --recipe fp32, fp16, int8 or int4"),
        ("portable", "int8", 32, "leave out --block-size"),
    ],
)
def test_refused(flavour: str, recipe: str, block_size: int | None, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        flavour_recipe(flavour, recipe, block_size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flavour": "portable", "cache_dtype": "float16"}, "leave out --cache-dtype"),
        ({"flavour": "static", "recipe": "fp32", "past": 65}, "--past is 65"),
        ({"past": 32}, "--past is the fixed size of --flavour static"),
        ({"flavour": "static", "recipe": "int8"}, "needs a tokenizer"),
        ({"flavour": "portable", "max_kl": 0.1}, "--flavour fused"),
        ({"compute_dtype": "float16", "recipe": "int8"}, "--compute-dtype float16 goes with"),
        ({"compute_dtype": "float16", "flavour": "portable"}, "--compute-dtype float16 goes with"),
        ({"compute_dtype": "half"}, "'half' is not one of"),
    ],
)
def test_options_that_do_not_go_together(
    random_package: Export, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    checkpoint = random_package().parent / "checkpoint"
    with pytest.raises(ExportError, match=message):
        export_package(checkpoint, tmp_path / "p", ExportOptions(tokenizer=False, **options))
    assert list(tmp_path.iterdir()) == []


def test_every_target_can_be_exported(byte_package: Export) -> None:
    for target in TARGETS.values():
        folder = byte_package(
            target.flavour,
            target.recipe,
            cache_dtype=target.cache_dtype,
            compute_dtype=target.compute_dtype,
            report=False,
        )
        assert len(Generator.load(folder).generate("night", GenerationConfig()).ids) > 0


def products_in_halves(folder: Path) -> list[np.ndarray]:
    """What the float16 products of a fused package come to, before they are float32 again.

    As outputs of the graph they are really rounded to float16: the CPU multiplies in float32 and
    leaves out a cast there and back.
    """
    model = onnx.load(folder / "model.onnx")
    names = [
        node.output[0]
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm", "MatMulNBits") and node.input[0].endswith(".halves")
    ]
    assert len(names) == 9  # four in each of two layers, and the head
    half = onnx.TensorProto.FLOAT16
    model.graph.output.extend(onnx.helper.make_tensor_value_info(n, half, None) for n in names)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    empty = np.zeros((1, 2, 0, 16), np.float32)
    past = {e.name: empty for e in session.get_inputs() if e.name.startswith("past")}
    feeds = {
        "input_ids": np.array([IDS[:20]]),
        "attention_mask": np.ones((1, 20), np.int64),
        "position_ids": np.arange(20)[None],
    }
    products: list[np.ndarray] = session.run(names, feeds | past)
    return products


@pytest.mark.parametrize("recipe", ["fp16", "int4"])
def test_products_in_float16_do_not_overflow(tmp_path: Path, recipe: str) -> None:
    """Logits and sums beyond 65,504 come out as they do in float32."""
    config = random_config()
    tensors = random_tensors(config)
    tensors["wte.weight"] *= 30_000
    tensors["ln_f.weight"] *= 3
    tensors["h.0.mlp.c_proj.weight"] *= 60_000
    checkpoint = write_checkpoint(tmp_path / "model", config, tensors)
    logits = []
    for compute in ("float32", "float16"):
        options = ExportOptions(recipe=recipe, compute_dtype=compute, tokenizer=False)
        folder = export_package(checkpoint, tmp_path / compute, options).package.folder
        logits.append(Generator.load(folder).logits(IDS[:20]))
    for product in products_in_halves(tmp_path / "float16"):
        assert np.isfinite(product).all()
    assert np.abs(logits[0]).max() > 2 * float(np.finfo(np.float16).max)
    spread = logits[0].std()
    assert np.isfinite(logits[1]).all()
    # Activations in int4's products are rounded to 8 bits, so a last bit becomes a step.
    tolerance = {"fp16": 0.01, "int4": 0.2}[recipe]
    np.testing.assert_allclose(logits[1] / spread, logits[0] / spread, rtol=0, atol=tolerance)


@pytest.mark.parametrize("flavour", ["fused", "portable"])
def test_every_integer_product_has_a_zero_point_of_its_own(
    random_package: Export, flavour: str
) -> None:
    """Without one, ONNX Runtime makes weights unsigned at the cost of its heap; nor can two share.

    The second session does so whatever the processor, and has to give what the exact one gives.
    """
    folder = random_package("int8", flavour=flavour)
    graph = onnx.load(folder / "model.onnx").graph
    zeros = [
        node.input[{"MatMulInteger": 3, "MatMulIntegerToFloat": 5}[node.op_type]]
        for node in graph.node
        if node.op_type.startswith("MatMulInteger")
    ]
    assert len(zeros) >= 4
    assert len(set(zeros)) == len(zeros)
    logits = []
    for unsigned in ("0", "1"):
        options = ort.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", unsigned)
        session = ort.InferenceSession(folder / "model.onnx", options)
        empty = np.zeros((1, 2, 0, 16), np.float32)
        past = {e.name: empty for e in session.get_inputs() if e.name.startswith("past")}
        feeds = {
            "input_ids": np.array([IDS[:9]]),
            "attention_mask": np.ones((1, 9), np.int64),
            "position_ids": np.arange(9)[None],
        }
        logits.append(session.run(["logits"], feeds | past)[0])
    if not signed_weights_overflow():
        np.testing.assert_allclose(logits[1], logits[0], rtol=0, atol=0.05)
    exact = Generator.load(folder).logits(IDS[:9])[-1]
    np.testing.assert_allclose(logits[1][0, 0], exact, rtol=0, atol=0.05)


def test_a_range_holds_every_value_and_zero() -> None:
    values = np.array([-3.0, 0.1, 9.0], np.float32)
    found = full_range(values)
    integers = np.rint(values / found.scale) + found.zero_point
    assert (integers.min(), integers.max()) == (0, 255)
    np.testing.assert_allclose((integers - found.zero_point) * found.scale, values, atol=0.03)
    assert full_range(values[1:]).zero_point == 0


def test_the_range_of_nothing_but_zeros_is_usable() -> None:
    zeros = full_range(np.zeros(10, np.float32))
    assert zeros.scale > 0
    assert 0 <= zeros.zero_point <= 255
