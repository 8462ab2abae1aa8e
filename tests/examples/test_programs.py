"""Examples that need nothing beside the runtime (and one the extra [grammar])."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from examples.running import EXAMPLES, load, printed, run
from gpt2_edge import Generator

ENGLISH = ["He went out of the house.", "It was a dark and stormy night.", "She did not answer."]
SHUFFLED = ["House the of out went he.", "Night stormy it dark and a was.", "Answer not did she."]


def test_stream_writes_on_behind_the_prompt(sample_int4: Path) -> None:
    process = run("stream.py", sample_int4, "It was late")
    assert process.stderr == "length 60 tokens\n"
    generator = Generator.load(sample_int4)
    expected = generator.generate("It was late", max_new_tokens=60, temperature=0.8, seed=7)
    assert process.stdout == f"It was late{expected}\n"


def test_stream_has_about_ten_lines() -> None:
    code = (EXAMPLES / "stream.py").read_text("utf-8").split('"""')[2]
    assert len([line for line in code.splitlines() if line.strip()]) == 10


def test_sentences_are_ranked_before_their_shuffled_words(sample_int4: Path) -> None:
    mixed = "\n".join(line for pair in zip(SHUFFLED, ENGLISH, strict=True) for line in (*pair, ""))
    lines = printed("rank_sentences.py", sample_int4, stdin=mixed).splitlines()
    ranked = [line.split(maxsplit=1) for line in lines]
    assert sorted(text for _, text in ranked) == sorted([*ENGLISH, *SHUFFLED])
    assert {text for _, text in ranked[:3]} == set(ENGLISH)
    figures = [float(figure) for figure, _ in ranked]
    assert figures == sorted(figures)


def test_a_turn_of_a_chat_reads_its_own_tokens(sample_int4: Path) -> None:
    long = "word " * 600
    said = ["Good morning, sir.", "", "Where is my brother?", long, "I do not believe it."]
    process = run("chat_with_cache.py", sample_int4, stdin="\n".join(said))
    assert process.returncode == 0, process.stderr
    told = re.findall(r"\[(\d+) of (\d+) tokens were new\]", process.stderr)
    (first, all_first), (second, all_second), (third, all_third) = [
        (int(new), int(prompt)) for new, prompt in told
    ]
    assert first == all_first < all_second < all_third
    # The last token of an answer was never fed.
    assert 1 < second < all_second / 1.5
    assert 1 < third < all_third / 2
    assert "the model's context holds 512" in process.stderr  # of the turn that is too long
    assert len([line for line in process.stdout.splitlines() if line]) >= 3


def test_a_chat_outlives_its_context(sample_int4: Path) -> None:
    process = run("chat_with_cache.py", sample_int4, stdin="\n".join(["word " * 250] * 3))
    assert process.returncode == 0, process.stderr
    prompts = [int(tokens) for tokens in re.findall(r"of (\d+) tokens were new", process.stderr)]
    assert len(prompts) == 3
    assert prompts[2] <= 512 < sum(prompts[:1]) * 3


@pytest.mark.parametrize("seed", range(3))
def test_json_fits_the_schema(generator: Generator, seed: int) -> None:
    pytest.importorskip("llguidance", reason="needs the extra [grammar]")
    person = load("json_by_schema.py").person(generator, "The captain was a tall man.", seed)
    assert set(person) == {"name", "age", "mood", "friends"}
    assert re.fullmatch("[A-Z][a-z]{1,11}", person["name"])
    assert type(person["age"]) is int
    assert 0 <= person["age"] <= 120
    assert person["mood"] in ("calm", "cheerful", "angry")
    assert len(person["friends"]) <= 2
    assert set(person["friends"]) <= {"Ann", "Tom", "Mary"}


def test_json_as_a_program(sample_int4: Path) -> None:
    pytest.importorskip("llguidance", reason="needs the extra [grammar]")
    assert json.loads(printed("json_by_schema.py", sample_int4, "The captain was a tall man."))
    process = run("json_by_schema.py", sample_int4, "captain " * 500)
    assert process.returncode == 1
    assert len(process.stderr.splitlines()) == 1


@pytest.mark.parametrize("letter", ["e", "A"])
def test_a_text_without_a_letter(sample_int4: Path, letter: str) -> None:
    text = printed("own_logits_processor.py", sample_int4, "It was", "--without", letter)
    assert len(text.split()) > 10
    assert letter.lower() not in text.lower()
    plain = printed("own_logits_processor.py", sample_int4, "It was", "--without", "#")
    assert letter.lower() in plain.lower()


def test_a_letter_is_one_letter(sample_int4: Path) -> None:
    process = run("own_logits_processor.py", sample_int4, "It was", "--without", "ab")
    assert process.returncode == 2
    assert "'ab'" in process.stderr


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("rank_sentences.py", []),
        ("chat_with_cache.py", []),
        ("json_by_schema.py", ["A man."]),
        ("own_logits_processor.py", ["It was"]),
    ],
)
def test_a_missing_package_is_one_line(tmp_path: Path, name: str, arguments: list[str]) -> None:
    process = run(name, tmp_path / "nothing", *arguments)
    assert process.returncode == 1
    assert len(process.stderr.splitlines()) == 1
    assert "nothing" in process.stderr
