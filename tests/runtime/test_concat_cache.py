"""The cache of stock graphs, which optimum exports: the same tokens as the fused graph's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2_edge import GenerationConfig, Generator

pytestmark = pytest.mark.optimum

CLOSE = 2e-4  # two graphs of the same weights


@pytest.fixture(scope="module")
def concat(sample_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    pytest.importorskip("optimum.exporters.onnx")
    from gpt2_edge_export.export import ExportOptions, export_package

    folder = tmp_path_factory.mktemp("concat") / "package"
    export_package(
        sample_checkpoint, folder, ExportOptions(recipe="fp32", engine="optimum", report=False)
    )
    generator = Generator.load(folder)
    assert generator.manifest.graph.cache == "concat"
    return generator


def test_logits_equal_the_fused_graph_s(concat: Generator, fp32: Generator, ids: list[int]) -> None:
    np.testing.assert_allclose(concat.logits(ids), fp32.logits(ids), rtol=0, atol=CLOSE)


def test_greedy_tokens_equal_the_fused_graph_s(concat: Generator, fp32: Generator) -> None:
    config = GenerationConfig(max_new_tokens=60)
    prompt = "The man in the boat said that he"
    assert concat.generate(prompt, config).ids == fp32.generate(prompt, config).ids


@pytest.mark.parametrize("chunk", [1, 7, 16])
def test_prefill_in_chunks(concat: Generator, ids: list[int], chunk: int) -> None:
    logits = concat.session.start(40).prefill(ids, chunk)
    np.testing.assert_allclose(logits, concat.logits(ids)[-1], rtol=0, atol=CLOSE)


def test_decoding(concat: Generator, ids: list[int]) -> None:
    sequence = concat.session.start(40)
    decoded = np.concatenate([np.array(sequence.feed([token_id])) for token_id in ids])
    np.testing.assert_allclose(decoded, concat.logits(ids), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_keep(concat: Generator, ids: list[int], keep: int) -> None:
    logits = concat.session.start(40).feed(ids, keep)
    assert logits.shape == (keep or 40, 8192)
    np.testing.assert_allclose(logits, concat.logits(ids)[-keep:], rtol=0, atol=CLOSE)


def test_trimming_and_feeding_again(concat: Generator, ids: list[int]) -> None:
    sequence = concat.session.start(40)
    first = np.array(sequence.feed(ids))
    sequence.trim(20)
    sequence.feed(ids[:15])
    sequence.trim(30)
    sequence.trim(20)
    assert sequence.ids == ids[:20]
    np.testing.assert_allclose(sequence.feed(ids[20:]), first, rtol=0, atol=CLOSE)


def test_starting_again_from_nothing(concat: Generator, ids: list[int]) -> None:
    sequence = concat.session.start(40)
    sequence.feed(ids)
    sequence.trim(0)
    assert sequence.length == 0
    logits = sequence.feed(ids[:10])
    np.testing.assert_allclose(logits[0], concat.logits(ids[:10])[-1], rtol=0, atol=CLOSE)


def test_the_window_slides(concat: Generator, fp32: Generator, ids: list[int]) -> None:
    prompt = (ids * 13)[:505]
    config = GenerationConfig(max_new_tokens=20, context_overflow="slide", ignore_eos=True)
    assert concat.generate(prompt, config).ids == fp32.generate(prompt, config).ids
