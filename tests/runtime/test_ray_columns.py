"""Columns scored and continued as Ray Data and PySpark hand them over, without either."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpt2_edge import GenerationError, Generator, ProviderError, text_perplexity
from gpt2_edge.ray import Continuer, Scorer

TEXTS = ["It was a dark night.", "", "The sea", None, 7, "One day an old man " * 60]
PROMPTS = ["It was a dark", "", "The sea " * 400, "Once", None, "The sea"]
DRAWN = {"max_new_tokens": 8, "temperature": 0.8, "seed": 3}


@pytest.fixture(scope="module")
def generator(sample_int4: Path) -> Generator:
    return Generator.load(sample_int4)


def column(values: list[object]) -> np.ndarray:
    """As Ray has strings beside others."""
    found = np.empty(len(values), object)
    found[:] = values
    return found


def test_each_text_has_the_figures_of_text_perplexity(
    sample_int4: Path, generator: Generator
) -> None:
    batch = {"text": column(TEXTS), "number": np.arange(len(TEXTS))}
    scored = Scorer(sample_int4)(batch)
    assert list(scored["number"]) == list(range(len(TEXTS)))
    for i in (0, 2, 5):
        expected = text_perplexity(generator, str(TEXTS[i]), bos=True)
        assert scored["perplexity"][i] == expected.perplexity
        assert scored["negative_log_likelihood"][i] == expected.negative_log_likelihood
        assert scored["bits_per_byte"][i] == expected.bits_per_byte
        assert scored["tokens"][i] == expected.tokens
        assert scored["error"][i] == ""
    for i, reason in {1: "perplexity needs two", 3: "no text", 4: "no text"}.items():
        assert reason in scored["error"][i]
        assert scored["tokens"][i] == 0
        assert math.isnan(scored["perplexity"][i])
    assert set(batch) == {"text", "number"}  # what was given stays as it is


def test_a_prompt_that_cannot_be_continued_ends_no_other(
    sample_int4: Path, generator: Generator
) -> None:
    made = Continuer(sample_int4, settings={"max_new_tokens": 8, "do_sample": False})(
        {"prompt": column(PROMPTS)}
    )
    good = (0, 3, 5)
    alone = generator.generate_batch(
        [str(PROMPTS[i]) for i in good], max_new_tokens=8, do_sample=False
    )
    for i, expected in zip(good, alone, strict=True):
        assert made["continuation"][i] == expected.text
        assert made["finish_reason"][i] == expected.finish_reason
        assert made["generated_tokens"][i] == len(expected.ids)
        assert made["error"][i] == ""
    for i, reason in {1: "empty", 2: "context", 4: "no text"}.items():
        assert reason in made["error"][i]
        assert made["continuation"][i] == made["finish_reason"][i] == ""
        assert made["generated_tokens"][i] == 0


def test_a_row_is_drawn_alike_in_any_batch(sample_int4: Path) -> None:
    continuer = Continuer(sample_int4, settings=DRAWN)
    prompts = ["The sea", "It was", "Once", "A man", "The sea"]
    together = continuer({"prompt": column(prompts)})["continuation"]
    singly = [continuer({"prompt": column([prompt])})["continuation"][0] for prompt in prompts]
    assert list(together) == singly
    other = Continuer(sample_int4, settings=DRAWN | {"seed": 4})({"prompt": column(prompts)})
    assert list(other["continuation"]) != singly


def test_rows_of_one_prompt_differ_by_their_ids(sample_int4: Path) -> None:
    continuer = Continuer(sample_int4, "start", settings=DRAWN, id_column="id")
    made = continuer({"start": column(["The sea"] * 4), "id": np.arange(4)})
    assert len(set(made["continuation"])) > 1
    assert "prompt" not in made


def test_no_rows(sample_int4: Path) -> None:
    assert Scorer(sample_int4)({"text": column([])})["perplexity"].shape == (0,)
    assert Continuer(sample_int4)({"prompt": column([])})["continuation"].shape == (0,)


def test_what_cannot_be_is_told_in_a_line(sample_int4: Path) -> None:
    with pytest.raises(GenerationError, match="no column 'text'; they have 'body', 'id'"):
        Scorer(sample_int4)({"body": column(["a"]), "id": np.arange(1)})
    with pytest.raises(GenerationError, match="no column 'id'"):
        Continuer(sample_int4, id_column="id")({"prompt": column(["a"])})
    with pytest.raises(GenerationError, match="temperatur"):
        Continuer(sample_int4, settings={"temperatur": 1})
    with pytest.raises(GenerationError, match="top_p is 2"):
        Continuer(sample_int4, settings={"top_p": 2})


def test_what_is_wrong_for_every_row_is_told_before_the_first(
    sample_int4: Path, random_package: Callable[..., Path]
) -> None:
    with pytest.raises(GenerationError, match="has no tokenizer; rows are texts"):
        Scorer(random_package())
    with pytest.raises(GenerationError, match="window is 1;"):
        Scorer(sample_int4, window=1)
    with pytest.raises(GenerationError, match="regex"):
        Continuer(sample_int4, settings={"regex": "("})


def test_an_error_that_is_no_rows_ends_the_batch(
    sample_int4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, continuer = Scorer(sample_int4), Continuer(sample_int4)

    def broken(*arguments: object, **settings: object) -> None:
        raise ProviderError("the graph fails")

    monkeypatch.setattr("gpt2_edge.ray.text_perplexity", broken)
    monkeypatch.setattr("gpt2_edge.ray.make_job", broken)
    with pytest.raises(ProviderError):
        scorer({"text": column(["The sea"])})
    with pytest.raises(ProviderError):
        continuer({"prompt": column(["The sea"])})


@pytest.mark.parametrize(("given", "threads"), [("1", 1), ("2", 2), ("", None), ("0", None)])
def test_threads_are_those_that_ray_gives(
    sample_int4: Path, monkeypatch: pytest.MonkeyPatch, given: str, threads: int | None
) -> None:
    seen: list[object] = []
    load = Generator.load

    def seeing(path: Path, **options: object) -> Generator:
        seen.append(options["threads"])
        return load(path, threads=1)

    monkeypatch.setattr(Generator, "load", seeing)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    Scorer(sample_int4)
    Scorer(sample_int4, threads=3)
    assert seen == [threads, 3]
