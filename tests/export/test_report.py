"""The quality report: its figures from their definitions, and what the sample's must be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from byte_model import write_byte_checkpoint
from gpt2_edge import Generator
from gpt2_edge.files.manifest import Manifest
from gpt2_edge.files.manifest_file import read_manifest
from gpt2_edge.files.package import open_package
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.measure.report import measure, quality_lines
from gpt2_edge_export.texts import CALIBRATION_TEXT, REPORT_TEXT, Text
from oracle import Oracle

GROUPS = ["embedding_and_head", "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
TEXT = "the rain in Spain stays mainly in the plain; " * 9  # 405 bytes, more than six windows
MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "untied": {"tie_word_embeddings": False},
    "heads padded": {"n_embd": 100, "n_head": 4},
    "inner 72": {"n_inner": 72},
}
RECIPES = ["fp32", "fp16", "int8", "int8-row", "int4", "int4-small"]

Export = Callable[..., Manifest]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "text.txt").write_text(TEXT, "utf-8")
    calibration = CALIBRATION_TEXT.read_text("utf-8")[:2500]
    (folder / "calibration.txt").write_text(calibration, "utf-8")
    for number, overrides in enumerate(MODELS.values()):
        write_byte_checkpoint(folder / f"model{number}", **overrides)
    return folder


@pytest.fixture(scope="module")
def package(room: Path) -> Callable[[str, str], Path]:
    """A function (recipe, one of MODELS) -> a package with its report, made once."""

    def get(recipe: str, model: str = "plain") -> Path:
        number = list(MODELS).index(model)
        folder = room / f"{recipe}-{number}"
        if not folder.exists():
            limit = 0.01 if recipe == "mixed" else None
            options = ExportOptions(
                recipe="int4" if limit else recipe,
                max_kl=limit,
                calibration=room / "calibration.txt",
                report_text=room / "text.txt",
            )
            export_package(room / f"model{number}", folder, options)
        return folder

    return get


def quality_of(package: Path) -> dict[str, Any]:
    quality = read_manifest(package).quality
    assert quality is not None
    return quality


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("recipe", [*RECIPES, "mixed"])
def test_bytes_of_the_groups_are_what_lies_in_the_file(
    package: Callable[[str, str], Path], recipe: str, model: str
) -> None:
    folder = package(recipe, model)
    stored: dict[str, int] = dict.fromkeys(GROUPS, 0)
    weights = dict.fromkeys(GROUPS, 0)
    shapes = {k: v.shape for k, v in checkpoint_of(folder).tensors.items()}
    for tensor in onnx.load(folder / "model.onnx").graph.initializer:
        array = numpy_helper.to_array(tensor)
        name = tensor.name.removesuffix(".scales").removesuffix(".q8").removesuffix(".q4")
        if name in shapes and len(shapes[name]) == 2 and name != "wpe.weight":
            group = name.split(".", 2)[2] if name.startswith("h.") else GROUPS[0]
            group = group.removesuffix(".weight")
            stored[group] += array.nbytes
            if tensor.name in (f"{name}.q8", f"{name}.q4", name):
                # The padding of odd heads counts as weights, that of blocks does not.
                rows, columns = shapes[name]
                if model == "heads padded" and name.endswith("c_attn.weight"):
                    columns = 3 * 4 * 32
                if model == "heads padded" and "attn.c_proj" in name:
                    rows = 4 * 32
                weights[group] += rows * columns
    quality = quality_of(folder)
    assert list(quality["groups"]) == GROUPS
    for group, size in quality["groups"].items():
        assert size["bytes"] == stored[group], group
        assert size["bits"] == pytest.approx(8 * stored[group] / weights[group], abs=6e-4), group
    if recipe == "fp32":
        assert {size["bits"] for size in quality["groups"].values()} == {32}


def checkpoint_of(package: Path) -> Oracle:
    return Oracle.load(package.parent / f"model{package.name.rsplit('-', 1)[1]}")


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def windows(package: Path) -> list[list[int]]:
    tokenizer = Generator.load(package).tokenizer
    assert tokenizer is not None
    ids = tokenizer.encode(TEXT)
    return [ids[start : start + 64] for start in range(0, len(ids), 64)]


def perplexity(predictions: list[np.ndarray], parts: list[list[int]]) -> float:
    losses = [
        -rows[position, token]
        for rows, part in zip(predictions, parts, strict=True)
        for position, token in enumerate(part[1:])
    ]
    return float(np.exp(np.mean(losses)))


@pytest.mark.parametrize("recipe", ["fp16", "int8", "int4"])
@pytest.mark.parametrize("model", ["plain", "untied"])
def test_figures_are_those_of_the_definitions(
    package: Callable[[str, str], Path], recipe: str, model: str
) -> None:
    folder = package(recipe, model)
    parts, candidate = windows(folder), Generator.load(folder)
    p = [log_softmax(checkpoint_of(folder).logits(part)) for part in parts]
    q = [log_softmax(candidate.logits(part)) for part in parts]
    divergence = np.concatenate([(np.exp(a) * (a - b)).sum(-1) for a, b in zip(p, q, strict=True)])
    same = np.concatenate([a.argmax(-1) == b.argmax(-1) for a, b in zip(p, q, strict=True)])
    quality = quality_of(folder)
    assert quality["tokens"] == len(TEXT)
    assert quality["text"] == "text.txt"
    assert quality["perplexity"] == pytest.approx(perplexity(q, parts), rel=1e-4)
    assert quality["reference_perplexity"] == pytest.approx(perplexity(p, parts), rel=1e-4)
    # float32 sums are good to some 1e-7 nats, which is much of what fp16 loses.
    assert quality["mean_kl"] == pytest.approx(divergence.mean(), rel=0.01, abs=3e-7)
    assert quality["p99_kl"] == pytest.approx(np.quantile(divergence, 0.99), rel=0.02, abs=1e-6)
    assert quality["p99_kl"] >= quality["mean_kl"] > 0
    assert quality["top1"] == pytest.approx(same.mean(), abs=2 / len(TEXT))


def test_fp32_has_its_perplexity_alone(package: Callable[..., Path]) -> None:
    folder = package("fp32")
    quality = quality_of(folder)
    parts = windows(folder)
    expected = perplexity([log_softmax(checkpoint_of(folder).logits(p)) for p in parts], parts)
    assert quality["perplexity"] == pytest.approx(expected, rel=1e-4)
    assert not {"mean_kl", "p99_kl", "top1", "reference_perplexity"} & set(quality)


def test_recipes_are_ranked_as_their_bits(package: Callable[..., Path]) -> None:
    fp16, int8, int4, small = (
        quality_of(package(recipe))["mean_kl"] for recipe in ("fp16", "int8", "int4", "int4-small")
    )
    assert fp16 < int8 / 10
    assert int8 < int4 / 5
    assert int4 < small


def test_only_the_package_is_left_beside_the_text(package: Callable[..., Path], room: Path) -> None:
    package("int4")
    assert not [path.name for path in room.iterdir() if path.name.startswith(".")]


def test_measuring_changes_no_file_of_the_package(
    package: Callable[..., Path], tmp_path: Path
) -> None:
    folder = package("int4")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    ids = tuple(np.random.default_rng(0).integers(0, 256, 100).tolist())
    quality = measure(folder, Text("text", "0", ids), None)
    assert set(quality) == {"text", "text_sha256", "tokens", "perplexity"}
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert open_package(folder).manifest.quality is not None


def test_a_long_text_is_measured_in_part(
    package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpt2_edge_export.measure import report

    monkeypatch.setattr(report, "REPORT_TOKENS", 70)
    ids = tuple(np.random.default_rng(0).integers(0, 256, 100).tolist())
    folder = package("int4")
    whole = measure(folder, Text("text", "0", ids), None)
    part = measure(folder, Text("text", "0", ids[:70]), None)
    assert whole == part
    assert whole["tokens"] == 70


@pytest.mark.parametrize("recipe", ["fp32", "int4", "mixed"])
def test_lines_for_people_and_the_card(package: Callable[..., Path], recipe: str) -> None:
    folder = package(recipe)
    quality = quality_of(folder)
    lines = list(quality_lines(quality))
    assert lines[0] == "on 405 tokens of text.txt:"
    assert f"perplexity {quality['perplexity']:.2f}" in lines[1]
    assert any(f"{quality.get('mean_kl', 0):.5f} nats" in line for line in lines) == (
        recipe != "fp32"
    )
    for group, line in zip(GROUPS, lines[-5:], strict=True):
        size = quality["groups"][group]
        assert line.split()[:3] == [group, f"{size['bits']:.2f}", "bits"]
    assert "\n".join(lines) in (folder / "README.md").read_text("utf-8")


def test_no_report_means_none(room: Path, tmp_path: Path) -> None:
    options = ExportOptions(report=False)
    manifest = export_package(room / "model0", tmp_path / "package", options).package.manifest
    assert manifest.quality is None
    assert "nats" not in (tmp_path / "package" / "README.md").read_text("utf-8")


# The sample, on text that neither training nor calibration saw.


@pytest.fixture(scope="module")
def sample_report(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("sample-report")
    text = folder / "carol.txt"
    text.write_text(REPORT_TEXT.read_text("utf-8")[:12_000], "utf-8")
    assert text.read_text("utf-8")[:2000] not in CALIBRATION_TEXT.read_text("utf-8")
    options = ExportOptions(recipe="int4", report_text=text)
    return export_package(sample_checkpoint, folder / "package", options).package.manifest


def test_int4_of_the_sample_is_under_the_line(sample_report: Manifest) -> None:
    quality = sample_report.quality
    assert quality is not None
    assert 2500 <= quality["tokens"] <= 4500
    assert 0 < quality["mean_kl"] <= 0.007
    assert quality["perplexity"] == pytest.approx(quality["reference_perplexity"], rel=0.015)
    assert quality["top1"] >= 0.92
    model = sum(r.bytes for name, r in sample_report.files.items() if name.startswith("model."))
    assert model <= 5.4e6
    # The groups are nearly all of it; what is left are norms, biases, positions and the graph.
    groups = sum(size["bytes"] for size in quality["groups"].values())
    assert 0.9 * model < groups < model
