"""Caches of float16 and int8: what the graph declares, what they cost, and that steps agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

from gpt2_edge import Generator
from gpt2_edge.errors import ExportError, PackageError
from gpt2_edge.files.manifest import MANIFEST_FILE, Architecture, Graph, Manifest
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.graph.fused_graph import NAMES, build_fused_graph
from gpt2_edge_export.graph.onnx_builder import OnnxBuilder
from gpt2_edge_export.graph.plan import GraphPlan
from gpt2_edge_export.graph.versions import CACHE_MIN_ONNXRUNTIME
from gpt2_edge_export.output.package import file_records
from gpt2_edge_export.quantize import RoundedWeights, cache_head_size, make_recipe
from gpt2_edge_export.quantize.weights import TensorSource
from helpers import assert_one_line, random_config, write_random_checkpoint
from oracle import Oracle

RELEASE = tuple(int(part) for part in ort.__version__.split(".")[:2])
DTYPES = [
    dtype
    if tuple(int(part) for part in minimum.split(".")) <= RELEASE
    else pytest.param(dtype, marks=pytest.mark.skip(reason=f"needs ONNX Runtime {minimum}"))
    for dtype, minimum in CACHE_MIN_ONNXRUNTIME.items()
]
ELEMENT_TYPES = {
    "float32": onnx.TensorProto.FLOAT,
    "float16": onnx.TensorProto.FLOAT16,
    "int8": onnx.TensorProto.INT8,
}
TOKENS = 48
# Largest difference from the float64 oracle, on logits with a standard deviation of 1.3. Over four
# seeds and the head sizes below it was 1e-5, 0.0045 and 0.10.
TOLERANCE = {"float32": 1e-4, "float16": 0.01, "int8": 0.2}
# A step of one token multiplies by other instructions than a prefill does. The largest differences
# were 4e-6, 6e-4 and 0; a key that falls on the other side of an int8 step would cost some 0.01.
STEP_TOLERANCE = {"float32": 1e-4, "float16": 2e-3, "int8": 0.05}


class ScaledWeights(RoundedWeights):
    """Weights with scales for the cache, wide enough for `ids`."""

    def __init__(self, source: TensorSource, scales: dict[str, npt.NDArray[np.float32]]) -> None:
        super().__init__(source)
        self._scales = scales

    def has(self, name: str) -> bool:
        return name in self._scales or super().has(name)

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        return self._scales[name] if name in self._scales else super().tensor(name)


def cache_scales(
    float_package: Path, ids: list[int], largest: int = 127
) -> dict[str, npt.NDArray[np.float32]]:
    """The largest key and value of each channel while a float32 cache takes in `ids`."""
    generator = Generator.load(float_package)
    architecture = generator.manifest.architecture
    shape = (1, architecture.num_heads, 0, architecture.head_size)
    names = [
        pattern.format(i=layer)
        for layer in range(architecture.num_layers)
        for pattern in (NAMES.past_key, NAMES.past_value)
    ]
    feeds = {name: np.empty(shape, np.float32) for name in names} | {
        "input_ids": np.array([ids]),
        "attention_mask": np.ones((1, len(ids)), np.int64),
        "position_ids": np.arange(len(ids))[None],
    }
    outputs = [name.replace("past_key_values", "present") for name in names]
    presents = generator.session.onnx.run(outputs, feeds)
    scales = {}
    for name, present in zip(names, presents, strict=True):
        _, layer, kind = name.split(".")
        scales[f"h.{layer}.attn.{kind}_scale"] = np.abs(present[0]).max(1).reshape(-1) / largest
    return scales


def write_package(folder: Path, weights: RoundedWeights, cache_dtype: str) -> Path:
    """A fp32 package without tokenizer, as export_package writes it."""
    folder.mkdir()
    config = weights.config
    builder = OnnxBuilder(folder)
    try:
        build_fused_graph(builder, weights, GraphPlan(make_recipe("fp32"), cache_dtype=cache_dtype))
        files = builder.save("gpt2", "0")
    finally:
        builder.close()
    manifest = Manifest(
        format_version=1,
        name="random",
        created_by="test",
        architecture=Architecture(
            num_layers=config.n_layer,
            num_heads=config.n_head,
            head_size=cache_head_size(config),
            hidden_size=config.n_embd,
            vocab_size=config.vocab_size,
            context_length=config.n_positions,
        ),
        graph=Graph(
            file=files[0],
            flavour="fused",
            cache="shared",
            cache_dtype=cache_dtype,
            min_onnxruntime=CACHE_MIN_ONNXRUNTIME[cache_dtype],
            names=NAMES,
        ),
        recipe={"name": "fp32"},
        tokenizer=None,
        bos_token_id=None,
        eos_token_ids=(),
        files=file_records(folder),
    )
    (folder / MANIFEST_FILE).write_text(manifest.to_json(), "utf-8")
    return folder


@pytest.fixture(scope="module")
def ids() -> list[int]:
    return [int(token) for token in np.random.default_rng(1).integers(0, 101, TOKENS)]


@pytest.fixture(scope="module")
def packages(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int]
) -> Callable[..., tuple[Path, Oracle]]:
    """A function (cache dtype, **config overrides) -> package, and the oracle of its weights."""

    def make(cache_dtype: str, **overrides: int) -> tuple[Path, Oracle]:
        folder = tmp_path_factory.mktemp("cache")
        config = random_config(**overrides)
        source = open_checkpoint(write_random_checkpoint(folder / "checkpoint", config))
        weights = RoundedWeights(source)
        package = folder / cache_dtype
        if cache_dtype == "int8":
            plain = write_package(folder / "plain", weights, "float32")
            weights = ScaledWeights(source, cache_scales(plain, ids))
        return write_package(package, weights, cache_dtype), Oracle.load(folder / "checkpoint")

    return make


@pytest.mark.parametrize("cache_dtype", DTYPES)
def test_inputs_and_outputs_have_the_type(
    packages: Callable[..., tuple[Path, Oracle]], cache_dtype: str
) -> None:
    package, _ = packages(cache_dtype)
    graph = onnx.load(package / "model.onnx").graph
    values = {value.name: value for value in (*graph.input, *graph.output)}
    for layer in range(2):
        for pattern in (NAMES.past_key, NAMES.past_value, NAMES.present_key, NAMES.present_value):
            tensor = values[pattern.format(i=layer)].type.tensor_type
            assert tensor.elem_type == ELEMENT_TYPES[cache_dtype]
    assert values[NAMES.logits].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


@pytest.mark.parametrize(
    "overrides",
    [{}, {"n_embd": 36, "n_head": 3}, {"n_embd": 160, "n_head": 2}, {"n_embd": 4, "n_head": 4}],
    ids=["size 16", "size 12, padded", "size 80", "size 1, padded"],
)
@pytest.mark.parametrize("cache_dtype", DTYPES)
def test_logits_stay_near_the_oracle_s(
    packages: Callable[..., tuple[Path, Oracle]],
    ids: list[int],
    cache_dtype: str,
    overrides: dict[str, int],
) -> None:
    package, oracle = packages(cache_dtype, **overrides)
    sequence = Generator.load(package).session.start(TOKENS)
    fed = [sequence.feed(ids[at : at + 16], keep=0) for at in range(0, TOKENS, 16)]
    np.testing.assert_allclose(
        np.concatenate(fed), oracle.logits(ids), rtol=0, atol=TOLERANCE[cache_dtype]
    )


@pytest.mark.parametrize("cache_dtype", DTYPES)
def test_tokens_one_by_one_equal_a_prefill(
    packages: Callable[..., tuple[Path, Oracle]], ids: list[int], cache_dtype: str
) -> None:
    session = Generator.load(packages(cache_dtype)[0]).session
    at_once = session.start(TOKENS).feed(ids, keep=0)
    sequence = session.start(TOKENS)
    one_by_one = np.concatenate([np.array(sequence.feed([token])) for token in ids])
    np.testing.assert_allclose(one_by_one, at_once, rtol=0, atol=STEP_TOLERANCE[cache_dtype])


@pytest.mark.parametrize("cache_dtype", DTYPES)
def test_prompts_in_chunks_are_equal_to_the_bit(
    packages: Callable[..., tuple[Path, Oracle]], ids: list[int], cache_dtype: str
) -> None:
    session = Generator.load(packages(cache_dtype)[0]).session
    expected = np.array(session.start(TOKENS).prefill(ids))
    for chunk in (1, 7, 16):
        np.testing.assert_array_equal(session.start(TOKENS).prefill(ids, chunk), expected)


@pytest.mark.parametrize("cache_dtype", DTYPES)
def test_trimming_and_feeding_again(
    packages: Callable[..., tuple[Path, Oracle]], ids: list[int], cache_dtype: str
) -> None:
    sequence = Generator.load(packages(cache_dtype)[0]).session.start(TOKENS)
    sequence.feed(ids[:16])
    expected = np.array(sequence.feed(ids[16:32], keep=0))
    sequence.trim(16)
    other = np.array(sequence.feed(ids[32:48], keep=0))
    assert np.abs(other - expected).max() > 0.3, "the second half makes no difference"
    sequence.trim(16)
    np.testing.assert_array_equal(sequence.feed(ids[16:32], keep=0), expected)


@pytest.mark.skipif(RELEASE < (1, 27), reason="int8 caches need ONNX Runtime 1.27")
def test_scales_are_used_as_given(tmp_path: Path, ids: list[int]) -> None:
    """Eight times too coarse scales cost about eight times as much."""
    source = open_checkpoint(write_random_checkpoint(tmp_path / "checkpoint", random_config()))
    plain = write_package(tmp_path / "plain", RoundedWeights(source), "float32")
    expected = Generator.load(plain).session.start(TOKENS).feed(ids, keep=0)

    def error(largest: int) -> float:
        weights = ScaledWeights(source, cache_scales(plain, ids, largest))
        package = write_package(tmp_path / f"to-{largest}", weights, "int8")
        logits = Generator.load(package).session.start(TOKENS).feed(ids, keep=0)
        return float(np.sqrt(np.mean((logits - expected) ** 2)))

    assert 4 < error(15) / error(127) < 16


def test_int8_without_scales_is_refused(tmp_path: Path) -> None:
    source = open_checkpoint(write_random_checkpoint(tmp_path / "checkpoint", random_config()))
    with pytest.raises(ExportError) as refused:
        write_package(tmp_path / "package", RoundedWeights(source), "int8")
    assert_one_line(refused.value, "scales that calibration finds", "--no-calibration", "float16")


def test_an_unknown_type_is_refused_by_the_builder(tmp_path: Path) -> None:
    source = open_checkpoint(write_random_checkpoint(tmp_path / "checkpoint", random_config()))
    builder, plan = OnnxBuilder(tmp_path), GraphPlan(make_recipe("fp32"), cache_dtype="int4")
    try:
        with pytest.raises(ExportError) as refused:
            build_fused_graph(builder, RoundedWeights(source), plan)
    finally:
        builder.close()
    assert_one_line(refused.value, "'int4'", "float32, float16, int8")


@pytest.mark.parametrize(
    ("cache_dtype", "parts"),
    [
        ("int4", ("manifest.json", "'int4'", "upgrade gpt2-edge")),
        ("tensor(float)", ("manifest.json", "'tensor(float)'")),
        ("float16", ("past_key_values.0.key", "float32", "float16")),
        ("int8", ("past_key_values.0.key", "float32", "int8")),
    ],
)
def test_a_manifest_of_another_type_is_refused(
    packages: Callable[..., tuple[Path, Oracle]], cache_dtype: str, parts: tuple[str, ...]
) -> None:
    package, _ = packages("float32")
    path = package / MANIFEST_FILE
    raw = json.loads(path.read_text("utf-8"))
    raw["graph"]["cache_dtype"] = cache_dtype
    path.write_text(json.dumps(raw), "utf-8")
    with pytest.raises(PackageError) as refused:
        Generator.load(package)
    assert_one_line(refused.value, *parts)
