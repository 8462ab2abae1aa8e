"""Prompts read with 8-bit weights of the machine's cache: the same however they come, and close."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gpt2_edge import GenerationError, Generator
from gpt2_edge.decode.rows import SharedRows
from gpt2_edge.files.cache_entry import Stored
from gpt2_edge.files.integer_products import by_column
from gpt2_edge.files.machine_cache import MachineCache
from gpt2_edge.files.package import open_package
from gpt2_edge.files.prompt_graph import prompt_graph
from gpt2_edge.files.protobuf import OnnxFileError
from gpt2_edge.graph import prompt_form
from gpt2_edge.graph.prompt_form import optimize_prompts
from gpt2_edge.graph.session import Session
from gpt2_edge.graph.token_sequence import TokenSequence
from gpt2_edge_cli.main import main
from helpers import busy_after
from robustness.packages import list_file, move_weights

Floats = npt.NDArray[np.float32]
IDS = [i * 37 % 8000 for i in range(300)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MachineCache:
    monkeypatch.setenv("GPT2_EDGE_CACHE", str(tmp_path / "cache"))
    return MachineCache.default()


def made(package: Path, cache: MachineCache) -> Stored:
    """The graph for prompts, whether or not it is faster on this machine."""
    stored, reason = optimize_prompts(open_package(package), cache, least_gain=0)
    assert stored is not None, reason
    return stored


def sequence(session: Session) -> TokenSequence:
    started = session.start(400)
    assert isinstance(started, TokenSequence)
    return started


def after(session: Session, ids: list[int], chunk: int = 128) -> Floats:
    logits = sequence(session).prefill(ids, chunk)
    assert logits is not None
    return logits.copy()


@pytest.mark.parametrize("recipe", ["int4", "int8"])
def test_logits_do_not_depend_on_how_a_prompt_is_fed(
    recipe: str, request: pytest.FixtureRequest, cache: MachineCache
) -> None:
    package = request.getfixturevalue(f"sample_{recipe}")
    made(package, cache)
    session = Session(open_package(package), provider="cpu", cache=cache)
    assert session.prompts is not None
    once = after(session, IDS)
    for chunk in (1, 7, 64, 300):
        np.testing.assert_array_equal(after(session, IDS, chunk), once)
    # In rows of one buffer, beside others, and behind what another prompt left.
    rows = SharedRows(session, 2, 400)
    for row, ids in ((0, IDS[:40]), (1, IDS), (0, IDS)):
        left = ids[len(rows.ids[row]) :]
        while left:
            count, logits = rows.read(row, left)
            left = left[count:]
    assert logits is not None
    np.testing.assert_array_equal(logits, once)
    # The own graph rounds otherwise, and not by much.
    own = Session(open_package(package), provider="cpu", cache=cache, prompt_weights=False)
    assert own.prompts is None
    apart = np.abs(after(own, IDS) - once)
    assert 0 < apart.max() < 0.25 * once.std()


def test_one_token_is_read_like_many(sample_int4: Path, cache: MachineCache) -> None:
    made(sample_int4, cache)
    session = Session(open_package(sample_int4), provider="cpu", cache=cache)
    several = sequence(session)
    several.prefill(IDS[:17])
    one_by_one = sequence(session)
    for token_id in IDS[:17]:
        one_by_one.prefill([token_id])
    for token_id in IDS[17:33]:
        # What is written goes on behind either with the package's own graph.
        np.testing.assert_array_equal(several.feed([token_id]), one_by_one.feed([token_id]))


def test_it_costs_next_to_no_quality(
    sample_int4: Path, sample_fp32: Path, sample_checkpoint: Path, cache: MachineCache
) -> None:
    made(sample_int4, cache)
    reference = Generator.load(sample_fp32)
    text = (sample_checkpoint / "README.md").read_text(encoding="utf-8")
    ids = reference.encode(text[:1000])[:256]
    exact = _log_softmax(reference.logits(ids))
    own = _log_softmax(Generator.load(sample_int4).logits(ids))
    session = Session(open_package(sample_int4), provider="cpu", cache=cache)
    run = sequence(session)
    read = _log_softmax(np.stack([run._read([i])[-1].copy() for i in ids]))

    def divergence(candidate: Floats) -> float:
        return float((np.exp(exact) * (exact - candidate)).sum(-1).mean())

    assert divergence(read) < 1.25 * divergence(own)


def test_texts_of_a_prompt_are_the_same_alone_and_in_a_batch(
    sample_int4: Path, cache: MachineCache
) -> None:
    made(sample_int4, cache)
    generator = Generator.load(sample_int4, provider="cpu")
    assert generator.session.prompts is not None
    prompts = [IDS[:50], IDS[:33], IDS[100:105], IDS[:1]]
    settings = {"max_new_tokens": 3, "ignore_eos": True, "do_sample": False}
    batch = [result.ids for result in generator.generate_batch(prompts, **settings)]
    again = [result.ids for result in generator.generate_batch(prompts[::-1], **settings)][::-1]
    assert batch == again
    prompt_cache = generator.new_cache()
    first = generator.generate(IDS[:50], cache=prompt_cache, **settings).ids
    assert first == generator.generate(IDS[:50], **settings).ids
    parts = generator.new_cache()
    for length in (7, 12, 30):
        fresh = generator.next_tokens(IDS[:length], k=5)
        assert fresh == generator.next_tokens(IDS[:length], k=5, cache=parts)


def test_its_threads_leave_the_processors_to_those_that_make_tokens(
    sample_int4: Path, cache: MachineCache
) -> None:
    made(sample_int4, cache)
    session = Session(open_package(sample_int4), cache=cache, threads=2)
    assert session.prompts is not None
    # All of it goes through the other graph.
    assert busy_after(lambda: session.start(400).prefill(IDS), 0.1) < 0.01


def test_off_is_off(sample_int4: Path, cache: MachineCache) -> None:
    made(sample_int4, cache)
    assert Generator.load(sample_int4).session.prompts is not None
    assert Generator.load(sample_int4, prompt_weights="off").session.prompts is None
    assert Generator.load(sample_int4, machine_cache=False).session.prompts is None
    with pytest.raises(GenerationError, match="prompt_weights is 'always'; it must be auto or off"):
        Generator.load(sample_int4, prompt_weights="always")


def test_it_is_made_only_where_somebody_asks(sample_int4: Path, cache: MachineCache) -> None:
    assert Generator.load(sample_int4).session.prompts is None
    assert not [entry for entry in cache.entries() if entry.kind == prompt_form.KIND]


def test_where_memory_is_short_it_is_not_used(
    sample_int4: Path, cache: MachineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = made(sample_int4, cache)
    monkeypatch.setattr(prompt_form, "available_memory", lambda: 4 * stored.record.bytes - 1)
    assert Generator.load(sample_int4).session.prompts is None
    monkeypatch.setattr(prompt_form, "available_memory", lambda: 4 * stored.record.bytes)
    assert Generator.load(sample_int4).session.prompts is not None


def test_what_does_not_load_goes(sample_int4: Path, cache: MachineCache) -> None:
    stored = made(sample_int4, cache)
    (stored.folder / "graph.onnx").write_bytes(b"no graph")
    assert Generator.load(sample_int4).session.prompts is None
    assert not stored.folder.exists()


def test_what_reads_no_faster_is_noted_and_not_used(sample_int4: Path, cache: MachineCache) -> None:
    for _ in range(2):  # the second time the note is found
        stored, reason = optimize_prompts(open_package(sample_int4), cache, least_gain=1e9)
        assert stored is None
        assert "times the speed" in reason
    assert Generator.load(sample_int4).session.prompts is None


def test_packages_without_matrices_in_blocks_have_none(
    sample_fp32: Path, cache: MachineCache
) -> None:
    stored, reason = optimize_prompts(open_package(sample_fp32), cache, least_gain=0)
    assert stored is None
    assert reason == "its graph has no matrices in blocks of 4 or 8 bits"


def test_weights_beside_the_graph_are_read_too(
    sample_int4: Path, cache: MachineCache, tmp_path: Path
) -> None:
    package = Path(shutil.copytree(sample_int4, tmp_path / "moved"))
    move_weights(package, "weights.bin")
    list_file(package, "weights.bin")
    made(package, cache)
    made(sample_int4, cache)
    one, other = (Generator.load(folder).session for folder in (package, sample_int4))
    assert one.prompts is not None
    np.testing.assert_array_equal(after(one, IDS), after(other, IDS))


def test_the_command_makes_it(
    sample_int4: Path, cache: MachineCache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimize", str(sample_int4), "--prompt-weights", "off"]) == 0
    assert "for prompts" not in capsys.readouterr().out
    assert main(["optimize", str(sample_int4)]) == 0
    assert "for prompts: " in capsys.readouterr().out  # which of the two: the machine's speed


@pytest.mark.parametrize("source", [b"", b"\x08\x09", b"\xff" * 40], ids=["empty", "none", "noise"])
def test_what_is_no_graph_is_refused(source: bytes) -> None:
    with pytest.raises(OnnxFileError):
        prompt_graph(source, lambda name, offset, length: b"")


def test_a_column_gets_the_scale_of_its_largest_weight() -> None:
    # Two columns of four weights in blocks of two; the lower half of a byte is the first.
    packed = np.array([[[0x0F], [0x88]], [[0x88], [0x88]]], np.uint8)
    scales = np.array([[2, 1], [3, 3]], np.float32)
    integers, steps = by_column(packed, scales, 4, 4)
    assert integers.T.tolist() == [[111, -127, 0, 0], [0, 0, 0, 0]]  # of 14, -16, 0, 0
    np.testing.assert_allclose(steps, [16 / 127, 1])
    narrow, _ = by_column(packed, scales, 4, 3)
    assert narrow.shape == (3, 2)
    wide, steps = by_column(np.array([[[128, 255]]], np.uint8), np.ones((1, 1)), 8, 2)
    assert wide.T.tolist() == [[0, 127]]
    assert steps.tolist() == [1]


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result
