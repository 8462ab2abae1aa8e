"""GPT-Neo in few bits: what calibration, the report and the caches make of windows.

The model is models/sample's weights as a GPT-Neo, whose tokens are no random ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.files.prompt_graph import prompt_graph
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.texts import CALIBRATION_TEXT, REPORT_TEXT
from gpt_neo import NeoOracle, neo_of_gpt2

RELEASE = tuple(int(part) for part in ort.__version__.split(".")[:2])
WINDOW = 8


def needs(*release: int) -> pytest.MarkDecorator:
    version = ".".join(map(str, release))
    return pytest.mark.skipif(release > RELEASE, reason=f"needs ONNX Runtime {version}")


@pytest.fixture(scope="module")
def room(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = tmp_path_factory.mktemp("neo")
    neo_of_gpt2(sample_checkpoint, room / "checkpoint", WINDOW)
    for name, text, size in (
        ("calibration", CALIBRATION_TEXT, 15_000),
        ("report", REPORT_TEXT, 4_000),
    ):
        (room / f"{name}.txt").write_text(text.read_text("utf-8")[:size], "utf-8")
    return room


@pytest.fixture(scope="module")
def export(room: Path) -> Callable[..., Generator]:
    def make(**wanted: Any) -> Generator:
        texts = {"calibration": room / "calibration.txt", "report_text": room / "report.txt"}
        folder = room / "-".join(map(str, wanted.values()))
        if not folder.exists():
            export_package(room / "checkpoint", folder, ExportOptions(**{**texts, **wanted}))
        return Generator.load(folder)

    return make


@pytest.mark.parametrize("flavour", [pytest.param("fused", marks=needs(1, 24)), "portable"])
def test_the_report_compares_with_the_same_windows(
    export: Callable[..., Generator], flavour: str
) -> None:
    """Weights in float16 are all but the same model."""
    quality = export(recipe="fp16", flavour=flavour).manifest.quality
    assert quality is not None
    assert quality["mean_kl"] < 1e-4


@pytest.mark.parametrize(
    ("wanted", "kl"),
    [
        pytest.param({"recipe": "int4", "flavour": "fused"}, 0.02, marks=needs(1, 24)),
        ({"recipe": "int4", "flavour": "portable"}, 0.02),
        ({"recipe": "int8", "flavour": "static"}, 0.05),
        pytest.param({"recipe": "fp32", "cache_dtype": "float16"}, 1e-4, marks=needs(1, 24)),
        pytest.param({"recipe": "fp32", "cache_dtype": "int8"}, 0.01, marks=needs(1, 27)),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_calibrated(export: Callable[..., Generator], wanted: dict[str, Any], kl: float) -> None:
    generator = export(**wanted)
    quality = generator.manifest.quality
    assert quality is not None
    assert 0 < quality["mean_kl"] < kl
    assert quality["top1"] > 0.8
    ids = generator.generate("The man in the boat", GenerationConfig(max_new_tokens=60)).ids
    assert len(ids) == 60


@needs(1, 24)
def test_a_prompt_has_the_same_logits_however_it_is_fed(export: Callable[..., Generator]) -> None:
    """To the bit, in four bits, across the ends of windows and of parts."""
    generator = export(recipe="int4", flavour="fused")
    ids = [(37 * i * i + 11 * i) % 8000 for i in range(140)]
    whole = generator.session.start(len(ids)).prefill(ids)
    for chunk in (1, 7, 16, 50):
        logits = generator.session.start(len(ids)).prefill(ids, chunk)
        np.testing.assert_array_equal(logits, whole)


@needs(1, 24)
def test_the_graph_that_reads_prompts_has_them_too(export: Callable[..., Generator]) -> None:
    generator = export(recipe="int4", flavour="fused")
    content = (generator.package.folder / "model.onnx").read_bytes()
    nodes = onnx.ModelProto.FromString(prompt_graph(content, lambda *place: b"")).graph.node
    windows = [
        next((entry.i for entry in node.attribute if entry.name == "local_window_size"), None)
        for node in nodes
        if node.op_type == "GroupQueryAttention"
    ]
    assert windows == [None, WINDOW] * 3


@needs(1, 24)
def test_calibration_knows_the_windows(room: Path, export: Callable[..., Generator]) -> None:
    """Nearest rounding is what it has to beat on the model that has them."""
    oracle = NeoOracle.load(room / "checkpoint")
    calibrated = export(recipe="int4", flavour="fused")
    rounded = export(recipe="int4", calibration=False, report=False)
    ids = calibrated.encode((room / "report.txt").read_text("utf-8")[:1500])
    assert len(ids) > 300
    expected = oracle.logits(ids)
    errors = [
        np.abs(generator.logits(ids) - expected).mean() for generator in (calibrated, rounded)
    ]
    assert errors[0] < 0.8 * errors[1]
