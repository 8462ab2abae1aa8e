"""The `openai` package, unchanged, against the server; values are those of the library."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

openai = pytest.importorskip("openai", minversion="1.60")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from gpt2_edge import GenerationResult, Generator  # noqa: E402
from gpt2_edge.measure.score import score_tokens  # noqa: E402
from server.process import WAIT, Served, served  # noqa: E402

KEY = "secret-of-the-tests"
PROMPT = "It was late in the evening"
# What OpenAI's API does where nothing is said.
DEFAULTS: dict[str, Any] = {"max_new_tokens": 16, "temperature": 1.0, "top_k": 0}


@pytest.fixture(scope="module")
def server(sample_fp32: Path) -> Iterator[Served]:
    with served(sample_fp32) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[Any]:
    with client_of(server) as client:
        yield client


@pytest.fixture(scope="module")
def generator(sample_fp32: Path) -> Generator:
    return Generator.load(sample_fp32)


@pytest.fixture(scope="module")
def model(client: Any) -> str:
    name: str = client.models.list().data[0].id
    return name


def client_of(server: Served, key: str = "none") -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=WAIT)


def _quietly(client: Any, asked: dict[str, Any]) -> None:
    """A request that the server's end cuts short."""
    with contextlib.suppress(openai.OpenAIError):
        client.completions.create(**asked)


def drawn(generator: Generator, prompt: Any = PROMPT, **settings: Any) -> GenerationResult:
    return generator.generate(prompt, **(DEFAULTS | settings))


def greedy(generator: Generator, prompt: Any = PROMPT, **settings: Any) -> GenerationResult:
    return generator.generate(prompt, **({"max_new_tokens": 16, "do_sample": False} | settings))


class TestCompletions:
    def test_a_text(self, client: Any, model: str, generator: Generator) -> None:
        answer = client.completions.create(model=model, prompt=PROMPT, seed=7)
        expected = drawn(generator, seed=7)
        (choice,) = answer.choices
        assert choice.text == expected.text
        assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
        assert answer.object == "text_completion"
        assert answer.model == model
        assert answer.id
        assert answer.created > 0
        count = len(generator.encode(PROMPT))
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens) == (count, 16)
        assert usage.total_tokens == count + 16

    def test_temperature_zero_is_greedy(
        self, client: Any, model: str, generator: Generator
    ) -> None:
        answer = client.completions.create(model=model, prompt=PROMPT, temperature=0, max_tokens=40)
        assert answer.choices[0].text == greedy(generator, max_new_tokens=40).text

    def test_a_seed_gives_the_same_text_twice_and_others_give_others(
        self, client: Any, model: str
    ) -> None:
        def text(**settings: Any) -> str:
            answer = client.completions.create(model=model, prompt=PROMPT, **settings)
            found: str = answer.choices[0].text
            return found

        assert text(seed=11) == text(seed=11)
        assert len({text(seed=seed) for seed in range(4)}) > 1
        assert len({text() for _ in range(4)}) > 1

    @pytest.mark.parametrize(
        ("asked", "ours"),
        [
            ({"top_p": 0.5}, {"top_p": 0.5}),
            ({"temperature": 0.4}, {"temperature": 0.4}),
            ({"presence_penalty": 1.5}, {"presence_penalty": 1.5}),
            ({"frequency_penalty": 2}, {"frequency_penalty": 2}),
            ({"logit_bias": {"13": 6, "100": -100}}, {"logit_bias": {13: 6.0, 100: -100.0}}),
            ({"extra_body": {"top_k": 3}}, {"top_k": 3}),
            ({"extra_body": {"min_p": 0.2}}, {"min_p": 0.2}),
            ({"extra_body": {"typical_p": 0.5}}, {"typical_p": 0.5}),
            ({"extra_body": {"repetition_penalty": 1.3}}, {"repetition_penalty": 1.3}),
            ({"extra_body": {"no_repeat_ngram_size": 2}}, {"no_repeat_ngram_size": 2}),
            ({"extra_body": {"do_sample": False}}, {"do_sample": False, "temperature": None}),
            ({"extra_body": {"prompt_lookup_num_tokens": 4}}, {"prompt_lookup_num_tokens": 4}),
            ({"extra_body": {"ignore_eos": True}}, {"ignore_eos": True}),
            ({"extra_body": {"min_new_tokens": 40}}, {"min_new_tokens": 40}),
        ],
        ids=str,
    )
    def test_settings_are_those_of_the_library(
        self, client: Any, model: str, generator: Generator, asked: Any, ours: Any
    ) -> None:
        answer = client.completions.create(
            model=model, prompt=PROMPT, seed=3, max_tokens=40, **asked
        )
        settings = {"seed": 3, "max_new_tokens": 40} | ours
        assert answer.choices[0].text == drawn(generator, **settings).text

    def test_grammars(self, client: Any, model: str) -> None:
        pytest.importorskip("llguidance")
        schema = {
            "type": "object",
            "properties": {"ok": {"type": "boolean"}},
            "required": ["ok"],
            "additionalProperties": False,
        }
        for extra, check in (
            ({"regex": "[0-9]{4}"}, lambda text: len(text) == 4 and text.isdigit()),
            ({"choices": [" yes", " no"]}, lambda text: text in (" yes", " no")),
            ({"json_schema": schema}, lambda text: isinstance(json.loads(text)["ok"], bool)),
        ):
            answer = client.completions.create(
                model=model, prompt=PROMPT, max_tokens=60, seed=1, temperature=0.5, extra_body=extra
            )
            assert check(answer.choices[0].text), (extra, answer.choices[0].text)

    def test_a_stop_string_is_cut_off(self, client: Any, model: str, generator: Generator) -> None:
        whole = greedy(generator, max_new_tokens=30).text
        assert whole is not None
        stop = whole.split()[3]
        answer = client.completions.create(
            model=model, prompt=PROMPT, temperature=0, max_tokens=30, stop=stop
        )
        assert answer.choices[0].text == whole[: whole.index(stop)]
        assert answer.choices[0].finish_reason == "stop"
        answer = client.completions.create(
            model=model, prompt=PROMPT, temperature=0, max_tokens=30, stop=["\x00never", stop]
        )
        assert answer.choices[0].text == whole[: whole.index(stop)]

    def test_an_end_of_text_token_is_a_stop(
        self, client: Any, model: str, generator: Generator
    ) -> None:
        (end,) = generator.manifest.eos_token_ids
        answer = client.completions.create(
            model=model, prompt=PROMPT, max_tokens=8, logit_bias={str(end): 100}
        )
        assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("", "stop")

    def test_several_texts_of_a_prompt(self, client: Any, model: str, generator: Generator) -> None:
        answer = client.completions.create(model=model, prompt=PROMPT, seed=5, n=4)
        expected = drawn(generator, seed=5, num_return_sequences=4).sequences
        assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
        assert [choice.text for choice in answer.choices] == [each.text for each in expected]
        assert answer.usage.prompt_tokens == len(generator.encode(PROMPT))
        assert answer.usage.completion_tokens == sum(len(each.ids) for each in expected)

    def test_the_best_of_several(self, client: Any, model: str, generator: Generator) -> None:
        answer = client.completions.create(model=model, prompt=PROMPT, seed=5, n=2, best_of=5)
        texts = drawn(generator, seed=5, num_return_sequences=5, logprobs=True).sequences

        def per_token(result: GenerationResult) -> float:
            assert result.logprobs is not None
            return math.fsum(result.logprobs) / len(result.logprobs)

        best = sorted(texts, key=per_token, reverse=True)[:2]
        assert [choice.text for choice in answer.choices] == [each.text for each in best]
        assert [choice.index for choice in answer.choices] == [0, 1]
        # Tokens that were written and not shown count, as OpenAI says.
        assert answer.usage.completion_tokens == sum(len(each.ids) for each in texts)

    def test_lists_of_prompts_and_token_ids(
        self, client: Any, model: str, generator: Generator
    ) -> None:
        prompts = ["One day", "The old man", PROMPT]
        ids = [generator.encode(prompt) for prompt in prompts]
        expected = [greedy(generator, prompt).text for prompt in prompts]
        for given in (prompts, ids):
            answer = client.completions.create(model=model, prompt=given, temperature=0)
            assert [choice.index for choice in answer.choices] == [0, 1, 2]
            assert [choice.text for choice in answer.choices] == expected
            assert answer.usage.prompt_tokens == sum(map(len, ids))
        answer = client.completions.create(model=model, prompt=ids[1], temperature=0)
        assert [choice.text for choice in answer.choices] == [expected[1]]
        answer = client.completions.create(model=model, prompt=prompts[:2], temperature=0, n=2)
        assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
        twice = [text for text in expected[:2] for _ in range(2)]
        assert [choice.text for choice in answer.choices] == twice

    def test_special_tokens_in_a_text_are_text(
        self, client: Any, model: str, generator: Generator
    ) -> None:
        prompt = "An end.<|endoftext|>A new beginning"
        plain = generator.encode(prompt, parse_special=False)
        special = generator.encode(prompt)
        assert len(plain) > len(special)
        for extra, ids in (({}, plain), ({"parse_special": True}, special)):
            answer = client.completions.create(
                model=model, prompt=prompt, temperature=0, extra_body=extra
            )
            assert answer.usage.prompt_tokens == len(ids)
            assert answer.choices[0].text == greedy(generator, ids).text

    def test_an_empty_prompt_is_the_beginning_of_a_text(
        self, client: Any, model: str, generator: Generator
    ) -> None:
        answer = client.completions.create(model=model, prompt="", temperature=0)
        begin = generator.manifest.bos_token_id
        assert answer.choices[0].text == greedy(generator, [begin]).text

    def test_a_prompt_that_slides(self, client: Any, model: str, generator: Generator) -> None:
        prompt = "word " * 600
        answer = client.completions.create(
            model=model,
            prompt=prompt,
            temperature=0,
            extra_body={"context_overflow": "slide", "keep": 4},
        )
        expected = greedy(generator, prompt, context_overflow="slide", keep=4)
        assert answer.choices[0].text == expected.text


class TestLogprobs:
    def test_of_new_tokens(self, client: Any, model: str, generator: Generator) -> None:
        answer = client.completions.create(model=model, prompt=PROMPT, seed=2, logprobs=3)
        expected = drawn(generator, seed=2, logprobs=True, top_logprobs=3)
        assert expected.top_logprobs is not None
        assert answer.choices[0].text == expected.text
        found = answer.choices[0].logprobs
        assert found.tokens == [generator.token_label(token) for token in expected.ids]
        assert found.token_logprobs == pytest.approx(expected.logprobs, abs=1e-4)
        for token, logprob, top, best in zip(
            found.tokens, found.token_logprobs, found.top_logprobs, expected.top_logprobs,
            strict=True,
        ):  # fmt: skip
            labels = {generator.token_label(number): value for number, value in best}
            assert labels.items() <= {k: pytest.approx(v, abs=1e-4) for k, v in top.items()}.items()
            # As OpenAI has it: the token that was drawn is there, too.
            assert top[token] == logprob
            assert len(top) in (3, 4)
        starts = found.text_offset
        assert starts == sorted(starts)
        assert starts[0] == len(PROMPT)
        assert len(starts) == len(expected.ids)

    def test_of_the_prompt_with_echo(self, client: Any, model: str, generator: Generator) -> None:
        answer = client.completions.create(
            model=model, prompt=PROMPT, temperature=0, max_tokens=3, logprobs=2, echo=True
        )
        text = greedy(generator, max_new_tokens=3, logprobs=True)
        scored = score_tokens(generator, generator.encode(PROMPT))
        assert answer.choices[0].text == PROMPT + str(text)
        found = answer.choices[0].logprobs
        ids = [*generator.encode(PROMPT), *text.ids]
        assert found.tokens == [generator.token_label(token) for token in ids]
        assert found.token_logprobs[0] is None
        assert found.top_logprobs[0] is None
        expected = [token.logprob for token in scored[1:]] + list(text.logprobs or ())
        assert found.token_logprobs[1:] == pytest.approx(expected, abs=1e-4)
        assert found.text_offset[0] == 0
        for token, start in zip(found.tokens, found.text_offset, strict=True):
            assert answer.choices[0].text[start:].startswith(token)

    def test_echo_without_new_tokens(self, client: Any, model: str, generator: Generator) -> None:
        answer = client.completions.create(
            model=model, prompt=PROMPT, max_tokens=0, logprobs=1, echo=True
        )
        assert answer.choices[0].text == PROMPT
        scored = score_tokens(generator, generator.encode(PROMPT))
        found = answer.choices[0].logprobs
        assert found.token_logprobs[0] is None
        expected = [token.logprob for token in scored[1:]]
        assert found.token_logprobs[1:] == pytest.approx(expected, abs=1e-4)
        for logprob, top, token in zip(
            found.token_logprobs[1:], found.top_logprobs[1:], scored[1:], strict=True
        ):
            # What lm-evaluation-harness compares: the very same number where it is the likeliest.
            assert (max(top.values()) == logprob) == (token.rank == 1)
        assert answer.usage.completion_tokens == 0

    def test_echo_alone(self, client: Any, model: str, generator: Generator) -> None:
        answer = client.completions.create(
            model=model, prompt=["One day", PROMPT], temperature=0, max_tokens=4, echo=True
        )
        texts = [
            f"{each}{greedy(generator, each, max_new_tokens=4)}" for each in ("One day", PROMPT)
        ]
        assert [choice.text for choice in answer.choices] == texts
        assert answer.choices[0].logprobs is None


class TestStreams:
    def test_pieces_are_the_text(self, client: Any, model: str, generator: Generator) -> None:
        chunks = list(
            client.completions.create(
                model=model, prompt=PROMPT, seed=7, max_tokens=60, stream=True
            )
        )
        expected = drawn(generator, seed=7, max_new_tokens=60)
        assert "".join(chunk.choices[0].text for chunk in chunks) == expected.text
        assert len(chunks) > 20
        assert len({chunk.id for chunk in chunks}) == 1
        reasons = [chunk.choices[0].finish_reason for chunk in chunks]
        assert reasons[-1] == "length"
        assert set(reasons[:-1]) == {None}
        assert all(chunk.usage is None for chunk in chunks)

    def test_usage_where_it_is_asked_for(
        self, client: Any, model: str, generator: Generator
    ) -> None:
        *chunks, last = client.completions.create(
            model=model,
            prompt=PROMPT,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        assert all(chunk.usage is None for chunk in chunks)
        assert last.choices == []
        count = len(generator.encode(PROMPT))
        assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (count, 16)

    def test_several_texts(self, client: Any, model: str, generator: Generator) -> None:
        texts = dict.fromkeys(range(6), "")
        reasons: dict[int, str] = {}
        for chunk in client.completions.create(
            model=model, prompt=["One day", PROMPT], seed=4, n=3, stream=True
        ):
            for choice in chunk.choices:
                assert choice.index not in reasons
                texts[choice.index] += choice.text
                if choice.finish_reason:
                    reasons[choice.index] = choice.finish_reason
        expected = [
            each.text
            for prompt in ("One day", PROMPT)
            for each in drawn(generator, prompt, seed=4, num_return_sequences=3).sequences
        ]
        assert list(texts.values()) == expected
        assert len(reasons) == 6

    def test_logprobs_and_echo(self, client: Any, model: str, generator: Generator) -> None:
        settings = {"prompt": PROMPT, "temperature": 0, "logprobs": 2, "echo": True}
        whole = client.completions.create(model=model, **settings).choices[0]
        text, tokens, logprobs, offsets = "", [], [], []
        for chunk in client.completions.create(model=model, stream=True, **settings):
            for choice in chunk.choices:
                text += choice.text
                if choice.logprobs:
                    tokens += choice.logprobs.tokens
                    logprobs += choice.logprobs.token_logprobs
                    offsets += choice.logprobs.text_offset
        assert text == whole.text
        assert tokens == whole.logprobs.tokens
        assert logprobs[0] is None
        assert logprobs[1:] == pytest.approx(whole.logprobs.token_logprobs[1:], abs=1e-4)
        assert offsets == whole.logprobs.text_offset

    def test_a_stop_string_is_never_shown(
        self, client: Any, model: str, generator: Generator
    ) -> None:
        whole = greedy(generator, max_new_tokens=30).text
        assert whole is not None
        stop = " ".join(whole.split()[3:5])
        assert stop in whole
        chunks = list(
            client.completions.create(
                model=model, prompt=PROMPT, temperature=0, max_tokens=30, stop=[stop], stream=True
            )
        )
        text = "".join(chunk.choices[0].text for chunk in chunks)
        assert text == whole[: whole.index(stop)]
        assert chunks[-1].choices[0].finish_reason == "stop"

    def test_a_client_that_goes_away_leaves_the_others_alone(
        self, client: Any, model: str, generator: Generator
    ) -> None:
        stream = client.completions.create(
            model=model, prompt=PROMPT, max_tokens=400, stream=True, extra_body={"ignore_eos": True}
        )
        next(iter(stream))
        stream.close()
        answer = client.completions.create(model=model, prompt=PROMPT, temperature=0)
        assert answer.choices[0].text == greedy(generator).text


class TestModels:
    def test_list_and_retrieve(self, client: Any, model: str) -> None:
        (found,) = client.models.list().data
        assert found.object == "model"
        assert found.id == model
        assert "/" not in found.id
        assert client.models.retrieve(model).id == model

    def test_another_name(self, client: Any) -> None:
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve("gpt-4o")
        assert caught.value.code == "model_not_found"


def test_the_example_of_the_documentation(
    server: Served, generator: Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("llguidance")
    text = (Path(__file__).resolve().parents[2] / "docs/SERVER.md").read_text("utf-8")
    example = text.partition("```python\n")[2].partition("```")[0]
    assert "http://127.0.0.1:8080" in example
    example = example.replace("http://127.0.0.1:8080", server.url)
    exec(compile(example, "SERVER.md", "exec"), {})
    settings = {"temperature": 0.8, "seed": 7, "max_new_tokens": 24}
    assert capsys.readouterr().out.startswith(f"{drawn(generator, **settings)}\n")


class TestErrors:
    @pytest.mark.parametrize(
        ("asked", "param"),
        [
            ({"suffix": " the end"}, "suffix"),
            ({"temperature": -1}, "temperature"),
            ({"temperature": "hot"}, "temperature"),
            ({"top_p": 1.5}, "top_p"),
            ({"n": 0}, "n"),
            ({"n": 1_000_000}, "n"),
            ({"n": 3, "best_of": 2}, "best_of"),
            ({"best_of": 2, "stream": True}, "best_of"),
            ({"max_tokens": -1}, "max_tokens"),
            ({"logprobs": -1}, "logprobs"),
            ({"logprobs": 1_000}, "logprobs"),
            ({"logit_bias": {"x": 1}}, "logit_bias"),
            ({"logit_bias": {"99999999": 1}}, "logit_bias"),
            ({"prompt": [[1], ["x"]]}, "prompt"),
            ({"prompt": [99_999_999]}, "prompt"),
            ({"stop": [["x"]]}, "stop"),
            ({"extra_body": {"top_k": -4}}, "top_k"),
            ({"extra_body": {"regex": "("}}, "regex"),
        ],
        ids=str,
    )
    def test_a_wrong_value_is_told_by_name(
        self, client: Any, model: str, asked: dict[str, Any], param: str
    ) -> None:
        if param == "regex":
            pytest.importorskip("llguidance")
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model=model, **({"prompt": PROMPT} | asked))
        error = caught.value
        assert error.status_code == 400
        assert error.type == "invalid_request_error"
        # As at OpenAI it may say which item: stop[0].
        assert str(error.param).partition("[")[0] == param
        assert isinstance(error.body, dict)
        message = error.body["message"]
        assert message.isprintable()
        assert param in message
        assert "Traceback" not in message

    def test_a_prompt_that_is_too_long(self, client: Any, model: str) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model=model, prompt="word " * 600)
        assert caught.value.code == "context_length_exceeded"

    def test_keys(self, sample_fp32: Path, model: str) -> None:
        with served(sample_fp32, "--api-key", KEY) as server:
            for key in ("wrong", KEY + "x", KEY[:-1]):
                with (
                    client_of(server, key) as client,
                    pytest.raises(openai.AuthenticationError) as caught,
                ):
                    client.completions.create(model=model, prompt=PROMPT)
                assert caught.value.code == "invalid_api_key"
                assert KEY not in str(caught.value)
            with client_of(server, KEY) as client:
                assert client.models.list().data[0].id == model
                assert client.completions.create(model=model, prompt=PROMPT).choices
            assert KEY not in "".join(server.lines)

    def test_a_full_queue(self, sample_fp32: Path, model: str) -> None:
        endless = {"ignore_eos": True, "context_overflow": "slide"}
        asked = {"model": model, "prompt": PROMPT, "max_tokens": 60_000, "extra_body": endless}
        with (
            served(sample_fp32, "--max-rows", 2, "--max-queue", 1, "--grace", 0) as server,
            client_of(server) as client,
            ExitStack() as stack,
        ):
            for _ in range(2):
                stack.enter_context(client.completions.create(stream=True, **asked))
            # Nothing comes of the third until one of them ends, so it is asked for beside them.
            third = threading.Thread(target=lambda: _quietly(client, asked))
            third.start()
            end = time.monotonic() + WAIT
            while server.metrics()["gpt2_edge_waiting"] < 1:
                assert time.monotonic() < end
                time.sleep(0.02)
            with pytest.raises(openai.RateLimitError) as caught:
                client.completions.create(**asked)
            assert int(caught.value.response.headers["retry-after"]) >= 1
            assert caught.value.type == "rate_limit_error"
            stack.close()
            answer = client.completions.create(model=model, prompt=PROMPT, temperature=0)
            assert answer.choices[0].text
        third.join(WAIT)
