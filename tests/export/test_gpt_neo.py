"""GPT-Neo: windows of 8 and 256 tokens in every flavour, against the model in float64.

In prompts of 40 and 300 tokens and the 100 written behind them, every window hides something.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.decode.window import slid
from gpt2_edge.errors import ExportError, PackageError
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.draft import Draft
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.measure.reference import FloatModel
from gpt2_edge_export.quantize import RoundedWeights
from gpt_neo import NeoOracle, write_neo
from helpers import assert_one_line

CLOSE = 1e-4
RUNS_WINDOWS = tuple(int(n) for n in ort.__version__.split(".")[:2]) >= (1, 24)
needs_windows = pytest.mark.skipif(
    not RUNS_WINDOWS, reason="ONNX Runtime before 1.24 sees one token more in a window"
)
FLAVOURS = [pytest.param("fused", marks=needs_windows), "portable", "static"]


@dataclass(frozen=True)
class Case:
    """A checkpoint, a prompt, and what the model makes of it."""

    checkpoint: Path
    oracle: NeoOracle
    ids: list[int]
    logits: np.ndarray
    greedy: list[int]


@pytest.fixture(scope="module", params=[8, 256], ids=["window 8", "window 256"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    context, tokens = {8: (160, 40), 256: (448, 300)}[request.param]
    checkpoint = write_neo(
        tmp_path_factory.mktemp("neo") / "checkpoint",
        num_layers=3,
        attention_types=[[["local", "global"], 1], [["local"], 1]],
        window_size=request.param,
        max_position_embeddings=context,
    )
    oracle = NeoOracle.load(checkpoint)
    ids = np.random.default_rng(1).integers(0, 101, tokens).tolist()
    return Case(checkpoint, oracle, ids, oracle.logits(ids), oracle.greedy(ids, 100))


@pytest.fixture(scope="module")
def packages(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Generator]:
    """(flavour) -> the case's checkpoint as a package in fp32."""
    made: dict[str, Generator] = {}

    def make(flavour: str) -> Generator:
        if flavour not in made:
            options = ExportOptions(recipe="fp32", flavour=flavour, tokenizer=False)
            folder = tmp_path_factory.mktemp(flavour) / "package"
            export_package(case.checkpoint, folder, options)
            made[flavour] = Generator.load(folder)
        return made[flavour]

    return make


def config(tokens: int = 100) -> GenerationConfig:
    return GenerationConfig(max_new_tokens=tokens, do_sample=False, ignore_eos=True)


@pytest.mark.parametrize("flavour", FLAVOURS)
class TestAgainstTheModelInFloat64:
    def test_logits(self, case: Case, packages: Callable[[str], Generator], flavour: str) -> None:
        logits = packages(flavour).logits(case.ids)
        np.testing.assert_allclose(logits, case.logits, rtol=0, atol=CLOSE)

    def test_100_greedy_tokens(
        self, case: Case, packages: Callable[[str], Generator], flavour: str
    ) -> None:
        assert list(packages(flavour).generate(case.ids, config()).ids) == case.greedy

    def test_a_prompt_in_chunks(
        self, case: Case, packages: Callable[[str], Generator], flavour: str
    ) -> None:
        session = packages(flavour).session
        for chunk in (1, 7, 16):
            logits = session.start(len(case.ids)).prefill(case.ids, chunk)
            np.testing.assert_allclose(logits, case.logits[-1], rtol=0, atol=CLOSE)

    def test_texts_side_by_side(
        self, case: Case, packages: Callable[[str], Generator], flavour: str
    ) -> None:
        """Of other lengths, so that one row's window begins where another's does not."""
        prompts = [case.ids, case.ids[:30], case.ids[3:25]]
        together = packages(flavour).generate_batch(prompts, config(40))
        expected = [case.greedy[:40], *(case.oracle.greedy(ids, 40) for ids in prompts[1:])]
        assert [list(result.ids) for result in together] == expected

    def test_a_prompt_behind_one_that_is_kept(
        self, case: Case, packages: Callable[[str], Generator], flavour: str
    ) -> None:
        generator = packages(flavour)
        cache = generator.new_cache()
        generator.generate(case.ids[:-9], config(5), cache=cache)
        assert list(generator.generate(case.ids, config(40), cache=cache).ids) == case.greedy[:40]

    def test_a_text_that_slides_past_the_context(
        self, case: Case, packages: Callable[[str], Generator], flavour: str
    ) -> None:
        generator = packages(flavour)
        slides = GenerationConfig(
            max_new_tokens=100, do_sample=False, ignore_eos=True, context_overflow="slide"
        )
        prompt = [*case.ids, *case.greedy]
        held = list(prompt)
        expected: list[int] = []
        for _ in range(100):
            expected.append(int(case.oracle.logits(held)[-1].argmax()))
            held = slid(held, 0) if len(held) == generator.context_length else held
            held.append(expected[-1])
        assert list(generator.generate(prompt, slides, keep=0).ids) == expected


def test_windows_and_scale_change_what_is_compared(case: Case) -> None:
    """Otherwise nothing here could fail."""
    oracle = NeoOracle.load(case.checkpoint)
    oracle.windows = [None if window is None else window + 1 for window in oracle.windows]
    assert np.abs(oracle.logits(case.ids) - case.logits).max() > 100 * CLOSE


def test_the_float_model_of_the_report(case: Case) -> None:
    """Calibration has its layers; on every ONNX Runtime its windows are the same."""
    model = FloatModel(RoundedWeights(open_checkpoint(case.checkpoint)))
    logits = np.concatenate(list(model.logits([case.ids, case.ids[:5]], 64)))
    np.testing.assert_allclose(logits[:-5], case.logits, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(logits[-5:], case.logits[:5], rtol=0, atol=CLOSE)


@needs_windows
def test_attention_s_weights(case: Case, packages: Callable[[str], Generator]) -> None:
    weights = packages("fused").attention(case.ids)
    np.testing.assert_allclose(weights, case.oracle.attention(case.ids), rtol=0, atol=CLOSE)


def graph_of(folder: Path) -> list[onnx.NodeProto]:
    nodes: list[onnx.NodeProto] = list(onnx.load(folder / "model.onnx").graph.node)
    return [node for node in nodes if node.op_type == "GroupQueryAttention"]


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}


def export(folder: Path, flavour: str = "fused", **overrides: object) -> Path:
    checkpoint = write_neo(folder / "checkpoint", **overrides)
    options = ExportOptions(recipe="fp32", flavour=flavour, tokenizer=False)
    return export_package(checkpoint, folder / "package", options).package.folder


@needs_windows
def test_only_local_layers_have_a_window_and_no_score_is_divided(tmp_path: Path) -> None:
    kinds = ["local", "global", "global", "local"]
    package = export(tmp_path, num_layers=4, attention_types=[[kinds, 1]], window_size=9)
    found = [attributes(node) for node in graph_of(package)]
    assert [entry.get("local_window_size") for entry in found] == [9, None, None, 9]
    assert [entry["scale"] for entry in found] == [1.0] * 4


@needs_windows
def test_a_window_asks_for_the_onnx_runtime_that_counts_it_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = export(tmp_path)
    assert Generator.load(package).manifest.graph.min_onnxruntime == "1.24"
    monkeypatch.setattr(ort, "__version__", "1.23.2")
    with pytest.raises(PackageError) as caught:
        Generator.load(package)
    assert_one_line(caught.value, "1.24")


def test_an_older_onnx_runtime_is_told_of_before_anything_is_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if RUNS_WINDOWS:
        monkeypatch.setattr(ort, "__version__", "1.23.2")
    monkeypatch.setattr(Draft, "weights", None)
    with pytest.raises(ExportError) as caught:
        export(tmp_path)
    assert_one_line(caught.value, "1.24", ort.__version__, "--flavour portable")
    assert not (tmp_path / "package").exists()


def test_windows_of_the_whole_context_are_none(tmp_path: Path) -> None:
    package = export(tmp_path, window_size=160)
    assert Generator.load(package).manifest.graph.min_onnxruntime == "1.23"
    assert all("local_window_size" not in attributes(node) for node in graph_of(package))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_padded_heads_own_head_and_inner_size(tmp_path: Path, flavour: str) -> None:
    package = export(
        tmp_path,
        flavour,
        hidden_size=36,
        num_heads=3,
        intermediate_size=70,
        activation_function="relu",
        layer_norm_epsilon=1e-3,
        tie_word_embeddings=False,
    )
    ids = np.random.default_rng(2).integers(0, 101, 50).tolist()
    expected = NeoOracle.load(tmp_path / "checkpoint").logits(ids)
    np.testing.assert_allclose(Generator.load(package).logits(ids), expected, rtol=0, atol=CLOSE)


def test_config_and_card_say_gpt_neo(tmp_path: Path) -> None:
    package = export(tmp_path, "portable")
    written = json.loads((package / "config.json").read_text("utf-8"))
    given = json.loads((tmp_path / "checkpoint" / "config.json").read_text("utf-8"))
    assert written.pop("transformers.js_config")["dtype"] == "fp32"
    assert written == given
    assert "A GPT-Neo of 2 layers" in (package / "README.md").read_text("utf-8")
