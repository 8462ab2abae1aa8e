"""Bits from a limit: the frontier, what is chosen from it, limits that nothing meets."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byte_model import write_byte_checkpoint
from gpt2_edge import Generator
from gpt2_edge.errors import ExportError
from gpt2_edge.measure.selftest import run_self_test
from gpt2_edge_export import mixed
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.draft import Draft
from gpt2_edge_export.export import ExportOptions, ExportReport, export_package
from gpt2_edge_export.measure.report import group_sizes, matrix_shape
from gpt2_edge_export.quantize import RoundedWeights, input_width
from gpt2_edge_export.search import (
    Candidate,
    Sensitivity,
    frontier,
    matrix_names,
    sensitivities,
)
from gpt2_edge_export.texts import CALIBRATION_TEXT
from helpers import assert_one_line

MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "untied": {"tie_word_embeddings": False},
    "heads padded": {"n_embd": 100, "n_head": 4},
    "three layers": {"n_layer": 3, "scale_attn_by_inverse_layer_idx": True},
}
REPORT = "It was the best of times, it was the worst of times; " * 15


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        name: write_byte_checkpoint(folder / f"model{number}", **overrides)
        for number, (name, overrides) in enumerate(MODELS.items())
    }


@pytest.fixture(scope="module")
def measured(models: dict[str, Path]) -> dict[str, list[Sensitivity]]:
    ids = np.random.default_rng(0).integers(0, 256, (8, 64))
    return {
        name: sensitivities(RoundedWeights(open_checkpoint(model)), ids)
        for name, model in models.items()
    }


def config_of(model: Path) -> GPT2Config:
    return open_checkpoint(model).config


@pytest.mark.parametrize("model", MODELS)
def test_every_matrix_has_its_cost(
    models: dict[str, Path], measured: dict[str, list[Sensitivity]], model: str
) -> None:
    config, found = config_of(models[model]), measured[model]
    names = {each.name for each in found}
    assert len(names) == len(found) == 4 * config.n_layer + 1
    assert names <= set(matrix_names(config))
    # An untied embedding goes with its head: bits of both are one choice.
    head = "lm_head.weight" if model == "untied" else "wte.weight"
    assert head in names
    for each in found:
        assert 0 < each.kl < 1, each
        assert each.saved > 0, each


@pytest.mark.parametrize("model", MODELS)
def test_the_frontier_goes_from_all_in_8_bits_to_all_in_4(
    models: dict[str, Path], measured: dict[str, list[Sensitivity]], model: str
) -> None:
    config = config_of(models[model])
    candidates = frontier(measured[model], config)
    assert candidates[0].coarse == ()
    assert candidates[0].predicted_kl == 0
    assert set(candidates[-1].coarse) == {each.name for each in measured[model]}
    assert len(candidates) == len(measured[model]) + 1
    for before, after in itertools.pairwise(candidates):
        assert after.bytes < before.bytes
        assert after.predicted_kl > before.predicted_kl
        assert after.coarse[:-1] == before.coarse
    # The cheapest bytes first: what a byte costs only rises.
    costs = [
        (after.predicted_kl - before.predicted_kl) / (before.bytes - after.bytes)
        for before, after in itertools.pairwise(candidates)
    ]
    assert costs == pytest.approx(sorted(costs))


@pytest.mark.parametrize("model", MODELS)
def test_recipes_are_what_the_candidates_say(
    models: dict[str, Path], measured: dict[str, list[Sensitivity]], model: str
) -> None:
    config = config_of(models[model])
    for candidate in frontier(measured[model], config):
        recipe = candidate.recipe()
        assert recipe.name == "mixed"
        bits = {
            name: recipe.format(name, input_width(name, config)).bits
            for name in matrix_names(config)
        }
        coarse = {name for name in bits if bits[name] == 4}
        chosen = set(candidate.coarse)
        if "lm_head.weight" in chosen:
            chosen.add("wte.weight")
        assert coarse == chosen
        assert set(bits.values()) <= {4, 8}
        # Its bytes are those of the recipe's formats, by the report's own account too.
        size = sum(
            recipe.format(name, input_width(name, config)).bytes(*matrix_shape(name, config))
            for name in bits
        )
        assert candidate.bytes == size
        assert size == sum(group.bytes for group in group_sizes(recipe, config).values())


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_frontier_of_any_costs(models: dict[str, Path], data: st.DataObject) -> None:
    config = config_of(models["plain"])
    costs = [
        Sensitivity(name, data.draw(st.floats(0, 1)), data.draw(st.integers(1, 900)))
        for name in matrix_names(config)
    ]
    candidates = frontier(costs, config)
    assert candidates[-1].predicted_kl == pytest.approx(sum(each.kl for each in costs))
    saved = candidates[0].bytes - candidates[-1].bytes
    assert saved == sum(each.saved for each in costs)
    slopes = [each.kl / each.saved for name in candidates[-1].coarse for each in costs
              if each.name == name]  # fmt: skip
    assert slopes == sorted(slopes)


# The search for a limit, with measurements made up.


@dataclass
class Measured:
    """Stands for the packages: KL by candidate; counts what is measured."""

    kl: list[float]
    tried: list[int]

    def attempts(self, predicted: list[float], monkeypatch: pytest.MonkeyPatch) -> Any:
        candidates = [
            Candidate(tuple(map(str, range(n))), 1000 - n, kl) for n, kl in enumerate(predicted)
        ]

        def measure(_: object, number: int) -> float:
            self.tried.append(number)
            return self.kl[number]

        monkeypatch.setattr(mixed._Attempts, "_measure", measure)
        text: Any = type("Text", (), {"name": "text.txt"})()
        draft: Any = None
        return mixed._Attempts(draft, text, text, candidates)


RISING = st.lists(st.floats(1e-6, 0.01), min_size=2, max_size=30).map(
    lambda steps: list(itertools.accumulate(steps))
)


@given(RISING, st.floats(0, 0.02), st.floats(0.5, 1.5), st.floats(1e-6, 0.3))
@settings(max_examples=200, deadline=None)
def test_what_is_chosen_was_measured_under_the_limit(
    predicted: list[float], beyond: float, factor: float, limit: float
) -> None:
    """However wrong the predictions are, by a share and by what activations add."""
    real = [beyond + factor * kl for kl in predicted]
    model = Measured(real, [])
    with pytest.MonkeyPatch.context() as monkeypatch:
        attempts = model.attempts([kl - predicted[0] for kl in predicted], monkeypatch)
        if real[0] > limit:
            with pytest.raises(ExportError) as caught:
                attempts.under_kl(limit)
            assert_one_line(caught.value, "--max-kl", "text.txt", "8 bits")
            return
        chosen = attempts.under_kl(limit)
    assert real[chosen] <= limit
    assert len(model.tried) <= mixed._ATTEMPTS + 2
    # Of what was measured, it is the smallest that passed.
    assert chosen == max(number for number in model.tried if real[number] <= limit)


def test_a_good_prediction_is_believed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kl = [0.001 * n for n in range(1, 21)]
    model = Measured(kl, [])
    chosen = model.attempts(kl, monkeypatch).under_kl(0.0125)
    assert chosen in (10, 11)  # 0.011 and 0.012; 0.013 is too much
    assert len(model.tried) <= 2


# Whole exports of models that take a second or two.


def export(model: Path, folder: Path, **limits: float) -> ExportReport:
    """Into folder/package, on short texts beside it that are removed afterwards."""
    texts = {"report.txt": REPORT, "calibration.txt": CALIBRATION_TEXT.read_text("utf-8")[:2500]}
    report, calibration = (folder / name for name in texts)
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    options = ExportOptions(calibration=calibration, report_text=report, **limits)
    try:
        return export_package(model, folder / "package", options)
    finally:
        report.unlink()
        calibration.unlink()


def model_megabytes(report: ExportReport) -> float:
    return (report.package.folder / "model.onnx").stat().st_size / 1e6


def quality_of(report: ExportReport) -> dict[str, Any]:
    quality = report.package.manifest.quality
    assert quality is not None
    return quality


@pytest.fixture(scope="module")
def ends(
    models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExportReport, ExportReport]:
    """What limits lead to that all candidates meet: all in 4 bits, and all in 8."""
    small, large = (
        export(models["three layers"], tmp_path_factory.mktemp("ends"), **limits)
        for limits in ({"max_kl": 9.0}, {"max_megabytes": 9.0})
    )
    assert bits_of(small) == {4}
    assert bits_of(large) == {8}
    return small, large


def bits_of(report: ExportReport) -> set[int]:
    recipe = report.package.manifest.recipe
    return {entry["bits"] for key, entry in recipe.items() if key != "name"}


@pytest.mark.parametrize(("share", "more"), [(0.25, {}), (0.6, {"max_megabytes": 9.0})])
def test_max_kl_gives_a_smaller_package_under_it(
    models: dict[str, Path],
    ends: tuple[ExportReport, ExportReport],
    tmp_path: Path,
    share: float,
    more: dict[str, float],
) -> None:
    coarse, fine = (quality_of(report)["mean_kl"] for report in ends)
    assert fine < 0.2 * coarse
    limit = fine + share * (coarse - fine)
    report = export(models["three layers"], tmp_path, max_kl=limit, **more)
    quality = quality_of(report)
    assert quality["mean_kl"] <= limit
    assert report.package.manifest.recipe["name"] == "mixed"
    # The package is the candidate that was measured so, and smaller than all in 8 bits.
    measured = [candidate.measured_kl for candidate in report.frontier]
    number = measured.index(quality["mean_kl"])
    chosen = report.frontier[number]
    assert bits_of(report) == {4, 8}
    size = sum(group["bytes"] for group in quality["groups"].values())
    assert size == chosen.bytes < report.frontier[0].bytes
    assert model_megabytes(report) < model_megabytes(ends[1])
    # With one matrix more in 4 bits it would have been too much, or nearly.
    after = report.frontier[number + 1]
    assert (after.measured_kl or after.predicted_kl) > 0.8 * limit
    assert run_self_test(Generator.load(report.package.folder)) == []
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


def test_max_size_gives_the_best_that_fits(
    models: dict[str, Path], ends: tuple[ExportReport, ExportReport], tmp_path: Path
) -> None:
    small, large = ends
    limit = 0.5 * (model_megabytes(small) + model_megabytes(large))
    report = export(models["three layers"], tmp_path, max_megabytes=limit)
    assert model_megabytes(report) <= limit
    kl = [quality_of(each)["mean_kl"] for each in (large, report, small)]
    assert kl == sorted(kl)
    # The next larger candidate would not have fitted.
    size = sum(group["bytes"] for group in quality_of(report)["groups"].values())
    sizes = [candidate.bytes for candidate in report.frontier]
    larger = sizes[sizes.index(size) - 1]
    assert model_megabytes(report) + (larger - size) / 1e6 > limit - 0.003


@pytest.mark.parametrize(
    ("limits", "parts"),
    [
        ({"max_kl": 1e-9}, ["8 bits", "--max-kl 1e-09", "report.txt"]),
        ({"max_megabytes": 0.001}, ["4 bits", "MB", "--max-size 0.001"]),
        ({"max_kl": 9.0, "max_megabytes": 0.001}, ["--max-size 0.001"]),
        ({"max_kl": 1e-9, "max_megabytes": 9.0}, ["--max-kl 1e-09"]),
    ],
    ids=str,
)
def test_limits_that_nothing_meets_leave_nothing(
    models: dict[str, Path], tmp_path: Path, limits: dict[str, float], parts: list[str]
) -> None:
    with pytest.raises(ExportError) as caught:
        export(models["plain"], tmp_path, **limits)
    assert_one_line(caught.value, *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", ["plain", "untied", "heads padded"])
def test_the_size_of_a_model_file_is_known_before_any_work(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    checkpoint = models[model]
    foreseen = []
    blank_size = Draft.blank_size
    monkeypatch.setattr(
        Draft,
        "blank_size",
        lambda draft: foreseen.append(blank_size(draft)) or foreseen[-1],
    )
    report = export(checkpoint, tmp_path, max_megabytes=9.0)
    assert foreseen[-1] == (report.package.folder / "model.onnx").stat().st_size
    smallest = foreseen[0]
    (tmp_path / "2").mkdir()
    report = export(checkpoint, tmp_path / "2", max_megabytes=smallest / 1e6)
    assert (report.package.folder / "model.onnx").stat().st_size == smallest
    assert bits_of(report) == {4}
    # One byte less cannot be met, and that is said before anything is calibrated.
    monkeypatch.setattr(mixed, "sensitivities", lambda *_: pytest.fail("work was done"))
    (tmp_path / "3").mkdir()
    with pytest.raises(ExportError) as caught:
        export(checkpoint, tmp_path / "3", max_megabytes=(smallest - 1) / 1e6)
    assert_one_line(caught.value, "4 bits everywhere", "--max-size")
    assert list((tmp_path / "3").iterdir()) == []


def test_an_attempt_says_which_it_is(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []

    @contextlib.contextmanager
    def stage(text: str) -> Iterator[None]:
        stages.append(text)
        yield

    monkeypatch.setattr(mixed, "stage", stage)
    export(models["plain"], tmp_path, max_kl=0.02)
    assert stages[0] == "attempt 1 of at most 6"
    assert len(stages) <= 6
    for number, text in enumerate(stages[1:], 2):
        assert re.fullmatch(rf"attempt {number} of at most 6, about \d+:\d\d each", text)


@pytest.mark.parametrize("model", ["untied", "heads padded"])
def test_odd_models_are_searched_too(models: dict[str, Path], tmp_path: Path, model: str) -> None:
    report = export(models[model], tmp_path, max_kl=9)
    quality = quality_of(report)
    assert 0 < quality["mean_kl"] < 0.1
    assert bits_of(report) == {4}
    size = sum(group["bytes"] for group in quality["groups"].values())
    assert size == report.frontier[-1].bytes
