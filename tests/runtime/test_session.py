"""Feeding one sequence: however its tokens are cut into steps, the logits are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from gpt2_edge import ContextOverflowError, GenerationError, Generator
from gpt2_edge.errors import ProviderError
from gpt2_edge.files.package import open_package
from gpt2_edge.graph.session import Session, TokenSequence
from helpers import busy_after

FLOAT = 1e-4  # fp32 graphs, by any kernel; logits have a standard deviation of 2.4
QUANTIZED = 1e-3  # where the same kernels run in another order


def prefilled(generator: Generator, ids: list[int], chunk: int) -> np.ndarray:
    logits = generator.session.start(len(ids)).prefill(ids, chunk)
    assert logits is not None
    return np.array(logits)


def tolerance(generator: Generator) -> float:
    return FLOAT if generator.manifest.recipe["name"] == "fp32" else QUANTIZED


@pytest.mark.skipif(
    tuple(map(int, ort.__version__.split(".")[:2])) < (1, 32), reason="waits by rounds, not by time"
)
def test_after_a_text_no_processor_is_kept_busy(sample_int4: Path) -> None:
    session = Session(open_package(sample_int4), threads=2)

    def text() -> None:
        sequence = session.start(64)
        for token in range(1, 33):
            sequence.feed([token])

    assert busy_after(text, 0.25) < 0.01


@pytest.mark.parametrize("chunk", [1, 7, 13, 16, 39])
def test_prefill_in_chunks_equals_prefill_at_once(
    generator: Generator, ids: list[int], chunk: int
) -> None:
    whole, cut = prefilled(generator, ids, 40), prefilled(generator, ids, chunk)
    np.testing.assert_allclose(cut, whole, rtol=0, atol=tolerance(generator))
    assert cut.argmax() == whole.argmax()


@pytest.mark.parametrize(("length", "chunk"), [(8, 7), (17, 16), (33, 16), (2, 1)])
def test_a_remainder_of_one_token_changes_nothing(
    generator: Generator, ids: list[int], length: int, chunk: int
) -> None:
    whole = prefilled(generator, ids[:length], length)
    cut = prefilled(generator, ids[:length], chunk)
    np.testing.assert_allclose(cut, whole, rtol=0, atol=tolerance(generator))
    assert cut.argmax() == whole.argmax()


def test_prefill_behind_other_tokens(generator: Generator, ids: list[int]) -> None:
    whole = prefilled(generator, ids, 40)
    sequence = generator.session.start(40)
    sequence.prefill(ids[:21])
    np.testing.assert_allclose(sequence.prefill(ids[21:]), whole, rtol=0, atol=tolerance(generator))
    assert sequence.ids == ids


def test_decoding_equals_prefill(fp32: Generator, ids: list[int]) -> None:
    expected = fp32.logits(ids)
    sequence = fp32.session.start(40)
    decoded = np.concatenate([np.array(sequence.feed([token_id])) for token_id in ids])
    np.testing.assert_allclose(decoded, expected, rtol=0, atol=FLOAT)


def test_a_mix_of_prefill_and_decoding_equals_prefill(fp32: Generator, ids: list[int]) -> None:
    sequence = fp32.session.start(40)
    sequence.prefill(ids[:30])
    for token_id in ids[30:]:
        logits = sequence.feed([token_id])
    np.testing.assert_allclose(logits[0], prefilled(fp32, ids, 40), rtol=0, atol=FLOAT)


@pytest.mark.parametrize(("keep", "rows"), [(0, 12), (1, 1), (3, 3), (12, 12), (99, 12)])
def test_keep_is_how_many_positions_have_logits(
    fp32: Generator, ids: list[int], keep: int, rows: int
) -> None:
    every = fp32.logits(ids[:12])
    logits = fp32.session.start(12).feed(ids[:12], keep)
    assert logits.shape == (rows, 8192)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, every[-rows:], rtol=0, atol=FLOAT)


def test_keep_may_change_from_step_to_step(fp32: Generator, ids: list[int]) -> None:
    every = fp32.logits(ids[:20])
    sequence = fp32.session.start(20)
    for start, end, keep in [(0, 5, 1), (5, 10, 0), (10, 11, 1), (11, 15, 2), (15, 20, 1)]:
        logits = np.array(sequence.feed(ids[start:end], keep))
        rows = keep or end - start
        np.testing.assert_allclose(logits, every[end - rows : end], rtol=0, atol=FLOAT)


@pytest.mark.parametrize("chunk", [256, 129, 100, 16])
@pytest.mark.parametrize("length", [129, 145, 257])
def test_a_row_alone_in_its_tile_changes_nothing(
    generator: Generator, length: int, chunk: int
) -> None:
    """Kernels take 128 rows at a time; number 129 must not be computed differently."""
    ids = np.random.default_rng(0).integers(0, 8192, length).tolist()
    np.testing.assert_array_equal(
        prefilled(generator, ids, chunk), prefilled(generator, ids, 64), strict=True
    )


def test_prefill_stops_between_chunks(fp32: Generator, ids: list[int]) -> None:
    answers = iter([False, False, True])
    sequence = fp32.session.start(40)
    assert sequence.prefill(ids, 16, lambda: next(answers)) is None
    assert sequence.ids == ids[:32]
    assert sequence.length == 32


def test_a_chunk_holds_at_least_one_token(fp32: Generator, ids: list[int]) -> None:
    with pytest.raises(ValueError, match="chunk is 0; it must be at least 1"):
        fp32.session.start(40).prefill(ids, chunk=0)


def test_an_overflow_leaves_the_sequence_as_it_was(fp32: Generator, ids: list[int]) -> None:
    sequence = fp32.session.start(8)
    sequence.feed(ids[:5])
    with pytest.raises(ContextOverflowError, match=r"4 more tokens do not fit behind 5 .* of 8"):
        sequence.feed(ids[5:9])
    with pytest.raises(ContextOverflowError):
        sequence.feed([])
    assert sequence.length == 5
    assert sequence.ids == ids[:5]
    logits = sequence.feed(ids[5:8])
    np.testing.assert_allclose(logits[0], prefilled(fp32, ids[:8], 8), rtol=0, atol=FLOAT)


@pytest.mark.parametrize("more", [1, 2, 20])
def test_an_overflow_of_prefill_leaves_the_sequence_as_it_was(
    fp32: Generator, ids: list[int], more: int
) -> None:
    sequence = fp32.session.start(8)
    sequence.feed(ids[:8])
    with pytest.raises(ContextOverflowError):
        sequence.prefill(ids[8 : 8 + more])
    assert sequence.length == 8
    assert sequence.ids == ids[:8]


def test_trimming_and_feeding_again_gives_the_same_logits(
    generator: Generator, ids: list[int]
) -> None:
    sequence = generator.session.start(40)
    first = np.array(sequence.feed(ids))
    sequence.trim(16)
    assert sequence.length == 16
    assert sequence.ids == ids[:16]
    other = np.array(sequence.feed(ids[:16]))
    assert not np.allclose(other, first, atol=0.1)
    sequence.trim(16)
    np.testing.assert_allclose(sequence.feed(ids[16:]), first, rtol=0, atol=tolerance(generator))


def test_trimming_to_more_than_there_is_changes_nothing(fp32: Generator, ids: list[int]) -> None:
    sequence = fp32.session.start(40)
    sequence.feed(ids[:10])
    sequence.trim(30)
    assert sequence.length == 10
    assert sequence.ids == ids[:10]


def test_sequences_of_one_session_do_not_disturb_each_other(
    fp32: Generator, ids: list[int]
) -> None:
    one, other = fp32.session.start(20), fp32.session.start(20)
    for token_id, other_id in zip(ids[:20], reversed(ids[20:]), strict=True):
        logits = one.feed([token_id])
        other.feed([other_id])
    np.testing.assert_allclose(logits[0], prefilled(fp32, ids[:20], 20), rtol=0, atol=FLOAT)


def cache_shapes(sequence: TokenSequence) -> set[tuple[int, ...]]:
    arrays = sequence._cache._arrays  # type: ignore[attr-defined]
    assert len(arrays) == 12  # keys and values of six layers
    return {array.shape for array in arrays}


def test_the_cache_is_as_large_as_asked(fp32: Generator) -> None:
    sequence = fp32.session.start(23)
    assert sequence.capacity == 23
    assert cache_shapes(sequence) == {(1, 4, 23, 64)}


def test_the_cache_is_at_most_as_large_as_the_context(fp32: Generator) -> None:
    sequence = fp32.session.start(10_000)
    assert sequence.capacity == 512
    assert cache_shapes(sequence) == {(1, 4, 512, 64)}


def test_a_step_writes_into_the_cache_in_place(fp32: Generator, ids: list[int]) -> None:
    sequence = fp32.session.start(10)
    arrays = sequence._cache._arrays  # type: ignore[attr-defined]
    sequence.feed(ids[:4])
    for array in arrays:
        assert array[:, :, :4].any(axis=(0, 1, 3)).all()
        assert not array[:, :, 4:].any()


def test_the_whole_context_can_be_fed(fp32: Generator, ids: list[int]) -> None:
    context = (ids * 13)[:512]
    sequence = fp32.session.start(512)
    logits = sequence.prefill(context)
    assert sequence.length == 512
    np.testing.assert_allclose(logits, fp32.logits(context)[-1], rtol=0, atol=FLOAT)
    with pytest.raises(ContextOverflowError):
        sequence.feed([1])


@pytest.mark.parametrize("flavour", ["fused", "portable", "static"])
def test_numbers_below_their_range(random_package: Callable[..., Path], flavour: str) -> None:
    session = Session(open_package(random_package(flavour=flavour)))
    sequence = session.start(8)
    sequence.feed([1, 2, 3])
    with pytest.raises(ValueError, match="length is -1; it must be at least 0"):
        sequence.trim(-1)
    with pytest.raises(ValueError, match="keep is -1; it must be at least 0"):
        sequence.feed([1, 2, 3], keep=-1)
    with pytest.raises(ValueError, match="capacity is 0; it must be at least 1"):
        session.start(0)
    assert sequence.ids == [1, 2, 3]
    assert sequence.length == 3


@pytest.mark.parametrize("threads", [0, -1, 10**9, 2**31, 2**63, 10**30, 1.5, "2", True, None, []])
def test_threads_that_no_machine_has(random_package: Callable[..., Path], threads: Any) -> None:
    package = open_package(random_package())
    if threads is None:
        assert Session(package, threads=threads).provider == "cpu"
        return
    with pytest.raises(GenerationError, match=r"threads is .*; it must be a whole number"):
        Session(package, threads=threads)


def test_threads_may_be_of_numpy(random_package: Callable[..., Path]) -> None:
    threads: Any = np.int64(1)
    session = Session(open_package(random_package()), threads=threads)
    assert session.onnx.get_session_options().intra_op_num_threads == 1


def test_auto_remembers_why_it_fell_back(
    random_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = open_package(random_package())
    assert Session(package).fallback_reason is None
    names = ["cuda", "webgpu", "cpu"]
    monkeypatch.setattr("gpt2_edge.graph.session.candidates", lambda *_: names)
    load_on = Session._load_on

    def fail(self: Session, files: Any, name: str, *more: Any) -> None:
        if name != "cpu":
            raise ProviderError(f"{name} has no device")
        load_on(self, files, name, *more)

    monkeypatch.setattr(Session, "_load_on", fail)
    session = Session(package)
    assert session.provider == "cpu"
    assert session.fallback_reason == "cuda has no device; webgpu has no device"
