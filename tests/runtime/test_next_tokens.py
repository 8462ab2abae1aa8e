"""The likeliest next tokens with their probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import GenerationConfig, GenerationError, Generator
from gpt2_edge.sampling import largest
from gpt2_edge_export.export import ExportOptions, export_package
from helpers import assert_one_line

PROMPT = "What do you"


def test_the_whole_vocabulary_sums_to_1(generator: Generator) -> None:
    options = generator.next_tokens(PROMPT, 8192)
    assert {option.id for option in options} == set(range(8192))
    assert sum(option.probability for option in options) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_likeliest_come_first(generator: Generator, k: int) -> None:
    options = generator.next_tokens(PROMPT, k)
    shares = [option.probability for option in options]
    assert len(options) == k
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) < 1


def test_ten_by_default(fp32: Generator) -> None:
    assert len(fp32.next_tokens(PROMPT)) == 10


def test_more_than_the_vocabulary_are_the_vocabulary(fp32: Generator) -> None:
    assert len(fp32.next_tokens(PROMPT, 10_000)) == 8192


def test_they_are_the_softmax_of_the_logits(fp32: Generator) -> None:
    logits = fp32.logits(PROMPT)[-1]
    options = fp32.next_tokens(PROMPT, 20)
    assert [option.id for option in options] == largest(logits, 20).tolist()
    weights = np.exp(logits.astype(np.float64) - logits.max())
    expected = np.sort(weights / weights.sum())[::-1][:20]
    np.testing.assert_allclose([option.probability for option in options], expected, rtol=1e-3)


def test_the_first_is_the_greedy_token(generator: Generator) -> None:
    result = generator.generate(PROMPT, GenerationConfig(max_new_tokens=1, logprobs=True))
    first = generator.next_tokens(PROMPT, 1)[0]
    assert (first.id, first.text) == (result.ids[0], result.text)
    assert result.logprobs is not None
    assert np.log(first.probability) == pytest.approx(result.logprobs[0], abs=1e-5)


def test_the_trained_model_knows_english(fp32: Generator) -> None:
    # transformers 4.57 on the same checkpoint; models/sample/README.md rounds them
    options = {option.text: option.probability for option in fp32.next_tokens('"What do you', 3)}
    assert options == pytest.approx({" mean": 0.264, " want": 0.177, " think": 0.161}, abs=2e-3)


@pytest.mark.parametrize("k", [0, -1, 2.5, 3.0, "3", True, None, [3], np.float64(3)])
def test_k_is_a_whole_number_at_least_1(fp32: Generator, k: Any) -> None:
    with pytest.raises(GenerationError) as raised:
        fp32.next_tokens(PROMPT, k)
    assert_one_line(raised.value, f"k is {k!r}; it must be a whole number, at least 1")


def test_k_may_be_numpy_s(fp32: Generator) -> None:
    assert fp32.next_tokens(PROMPT, np.uint8(3)) == fp32.next_tokens(PROMPT, 3)  # type: ignore[arg-type]


def test_k_may_be_larger_than_any_vocabulary(fp32: Generator) -> None:
    assert len(fp32.next_tokens(PROMPT, 10**30)) == 8192


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(0.5, None, None), (None, 4, None), (None, None, 0.6), (1.7, 200, 0.9), (None, 0, None)],
)
def test_they_are_those_that_a_token_is_drawn_with(
    fp32: Generator, temperature: float | None, top_k: int | None, top_p: float | None
) -> None:
    found = fp32.next_tokens(PROMPT, 8192, temperature=temperature, top_k=top_k, top_p=top_p)
    logits = fp32.logits(PROMPT)[-1].astype(np.float64)
    # By full sorts, in the order temperature, top_k, top_p.
    order = np.lexsort((np.arange(8192), -logits))[: top_k or None]
    weights = np.exp((logits[order] - logits.max()) / (temperature or 1))
    shares = weights / weights.sum()
    kept = 1 + int(np.count_nonzero(np.cumsum(shares) < (top_p or 1))) if top_p else len(order)
    expected = shares[:kept] / shares[:kept].sum()
    assert len(found) == kept
    np.testing.assert_allclose([option.probability for option in found], expected, rtol=2e-3)
    assert [option.id for option in found[:5]] == order[: min(5, kept)].tolist()


def test_a_temperature_or_top_p_of_0_leaves_the_most_likely_token(fp32: Generator) -> None:
    (first,) = fp32.next_tokens(PROMPT, 1)
    for setting in ({"temperature": 0}, {"top_p": 0}, {"top_k": 1}, {"temperature": 0, "top_k": 9}):
        (only,) = fp32.next_tokens(PROMPT, 10, **setting)
        assert (only.id, only.probability) == (first.id, 1.0)


@pytest.mark.parametrize(
    "setting", [{"temperature": -1}, {"top_k": 2.5}, {"top_k": ""}, {"top_p": "1"}]
)
def test_settings_of_a_draw_are_checked(fp32: Generator, setting: dict[str, Any]) -> None:
    with pytest.raises(GenerationError) as raised:
        fp32.next_tokens(PROMPT, **setting)
    assert_one_line(raised.value, f"{next(iter(setting))} is ")


def test_a_cache_reads_only_what_is_new(generator: Generator) -> None:
    cache = generator.new_cache()
    ids = generator.encode("What do you think of the man in the boat")
    shown = [generator.next_tokens(ids[: n + 1], 5, cache=cache) for n in range(len(ids))]
    assert cache.ids == ids
    again = [generator.next_tokens(ids[: n + 1], 5) for n in range(len(ids))]
    quantized = generator.manifest.recipe["name"] != "fp32"
    for with_cache, without in zip(shown, again, strict=True):
        found = {option.id: option.probability for option in with_cache}
        assert len(found.keys() & {option.id for option in without}) >= 3
        for option in without:
            # A step of one token rounds otherwise than a prompt in a quantized graph.
            assert found.get(option.id, option.probability) == pytest.approx(
                option.probability, rel=0.5 if quantized else 1e-3
            )
    # Another text takes over what they have in common, and the first is not forgotten by name.
    other = generator.next_tokens([*ids[:4], 5], 5, cache=cache)
    assert cache.ids == [*ids[:4], 5]
    assert [option.id for option in other][:1] == [
        option.id for option in generator.next_tokens([*ids[:4], 5], 1)
    ]


def test_a_prompt_that_is_read_at_once_is_the_same_with_a_cache(generator: Generator) -> None:
    cache = generator.new_cache()
    assert generator.next_tokens(PROMPT, 9, cache=cache) == generator.next_tokens(PROMPT, 9)
    assert generator.next_tokens(PROMPT, 9, cache=cache) == generator.next_tokens(PROMPT, 9)


def test_text_and_next_tokens_share_a_cache(fp32: Generator) -> None:
    cache = fp32.new_cache()
    fp32.next_tokens(PROMPT, cache=cache)
    result = fp32.generate(PROMPT, max_new_tokens=4, cache=cache)
    assert result.cached_tokens == result.prompt_tokens - 1
    assert result.ids == fp32.generate(PROMPT, max_new_tokens=4).ids
    written = [*fp32.encode(PROMPT), *result.ids]
    (first,) = fp32.next_tokens(written, 1, cache=cache)
    assert first.id == fp32.next_tokens(written, 1)[0].id


def test_a_cache_of_something_else(fp32: Generator, int8: Generator) -> None:
    for cache in (int8.new_cache(), "cache"):
        with pytest.raises(GenerationError, match="make one with this generator's new_cache"):
            fp32.next_tokens(PROMPT, cache=cache)  # type: ignore[arg-type]
    cache = fp32.new_cache()
    with fp32.stream(PROMPT, cache=cache) as stream:
        next(stream)
        with pytest.raises(GenerationError, match="the cache is in use"):
            fp32.next_tokens(PROMPT, cache=cache)


def test_a_static_package_has_caches(sample_checkpoint: Path, tmp_path: Path) -> None:
    options = ExportOptions(recipe="fp32", flavour="static", report=False)
    folder = export_package(sample_checkpoint, tmp_path / "static", options).package.folder
    generator = Generator.load(folder)
    cache = generator.new_cache()
    ids = generator.encode(PROMPT)
    for end in range(1, len(ids) + 1):
        (with_cache,) = generator.next_tokens(ids[:end], 1, cache=cache)
        (without,) = generator.next_tokens(ids[:end], 1)
        assert with_cache.id == without.id
