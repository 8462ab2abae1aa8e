"""gpt2-edge generate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.command import Output
from gpt2_edge import GenerationConfig, Generator
from gpt2_edge_cli.main import main

PROMPT = "The man in the boat said that he"


@pytest.fixture(scope="module")
def greedy(sample_int4: Path) -> str:
    text = Generator.load(sample_int4).generate(PROMPT, GenerationConfig(max_new_tokens=20)).text
    assert text
    return text


def test_a_prompt_given_as_an_argument(ok: Output, sample_int4: Path, greedy: str) -> None:
    assert ok("generate", sample_int4, PROMPT, "-n", 20) == greedy + "\n"


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_prompt_from_standard_input(ok: Output, sample_int4: Path, greedy: str, end: str) -> None:
    assert ok("generate", sample_int4, "-n", 20, stdin=PROMPT + end) == greedy + "\n"


def test_only_the_last_newline_of_standard_input_is_dropped(ok: Output, sample_int4: Path) -> None:
    given = ok("generate", sample_int4, PROMPT + "\n", "-n", 20)
    assert ok("generate", sample_int4, "-n", 20, stdin=PROMPT + "\n\n") == given


def test_json_holds_the_whole_result(ok: Output, sample_int4: Path, greedy: str) -> None:
    output = ok("generate", sample_int4, PROMPT, "-n", 20, "--json")
    assert output.count("\n") == 1
    result = json.loads(output)
    assert set(result) == {
        "package",
        "prompt",
        "prompt_ids",
        "context_full",
        "fallback_reason",
        "text",
        "ids",
        "finish_reason",
        "prompt_tokens",
        "seed",
        "prompt_seconds",
        "decode_seconds",
        "logprobs",
        "top_logprobs",
        "sequences",
        "score",
        "cached_tokens",
        "drafted_tokens",
        "accepted_tokens",
        "provider",
        "nodes",
        "prompt_tokens_per_second",
        "decode_tokens_per_second",
    }
    assert result["text"] == greedy
    assert len(result["ids"]) == len(result["logprobs"]) == 20
    assert (result["finish_reason"], result["seed"]) == ("length", None)
    assert (result["package"], result["prompt"]) == ("sample", PROMPT)
    assert len(result["prompt_ids"]) == result["prompt_tokens"]
    assert result["context_full"] is False


def test_a_prompt_of_ids(ok: Output, sample_int4: Path, greedy: str) -> None:
    ids = Generator.load(sample_int4).encode(PROMPT)
    by_commas = ok("generate", sample_int4, "--ids", ",".join(map(str, ids)), "-n", 20)
    by_spaces = ok("generate", sample_int4, "--ids", " ".join(map(str, ids)), "-n", 20)
    assert by_commas == by_spaces == greedy + "\n"


def test_the_same_seed_gives_the_same_text(ok: Output, sample_int4: Path, greedy: str) -> None:
    def sampled(seed: int) -> str:
        return ok("generate", sample_int4, PROMPT, "-n", 20, "--top-k", 40, "--seed", seed)

    first = sampled(7)
    assert sampled(7) == first
    assert sampled(8) not in (first, greedy + "\n")


def test_a_fresh_seed_is_in_the_json(ok: Output, sample_int4: Path) -> None:
    command = ("generate", sample_int4, PROMPT, "-n", 20, "--temperature", 1.2, "--json")
    result = json.loads(ok(*command))
    again = json.loads(ok(*command, "--seed", result["seed"]))
    assert again["ids"] == result["ids"]


def test_a_temperature_of_0_is_greedy(ok: Output, sample_int4: Path, greedy: str) -> None:
    output = ok("generate", sample_int4, PROMPT, "-n", 20, "--temperature", 0, "--seed", 3)
    assert output == greedy + "\n"


def test_stop(ok: Output, sample_int4: Path, greedy: str) -> None:
    string = greedy[10:14]
    output = ok("generate", sample_int4, PROMPT, "-n", 20, "--stop", "xyz", "--stop", string)
    assert output == greedy.partition(string)[0] + "\n"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("\\n", "\n"),
        ("\\n\\n", "\n\n"),
        ("\\t", "\t"),
        ("é\\n", "é\n"),
    ],
)
def test_stop_takes_backslash_n_for_a_line_break(
    monkeypatch: pytest.MonkeyPatch, sample_int4: Path, written: str, meant: str
) -> None:
    asked: list[tuple[str, ...]] = []

    def stream(
        self: Generator, prompt: str, config: GenerationConfig, *_: object, **__: object
    ) -> None:
        asked.append(config.stop_strings)
        raise KeyboardInterrupt

    monkeypatch.setattr(Generator, "stream", stream)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest's own stay
    main(["generate", str(sample_int4), "One", "--stop", written])
    assert asked == [(meant,)]


def test_a_package_without_a_tokenizer_writes_ids(
    ok: Output, random_package: Callable[..., Path]
) -> None:
    package = random_package()
    result = Generator.load(package).generate([5, 6, 7], GenerationConfig(max_new_tokens=4))
    output = ok("generate", package, "--ids", "5,6,7", "-n", 4)
    assert output == ",".join(map(str, result.ids)) + "\n"


def test_slide_writes_past_the_context(ok: Output, random_package: Callable[..., Path]) -> None:
    package = random_package(n_positions=16)
    command = ("generate", package, "--ids", "5,6,7", "-n", 40, "--ignore-eos")
    assert ok(*command).count(",") == 16 - 3 + 1 - 1
    assert ok(*command, "--slide").count(",") == 40 - 1
