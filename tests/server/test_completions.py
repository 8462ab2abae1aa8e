"""POST /v1/completions: what OpenAI documents, with the library's tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gpt2_edge.generate import Generator
from gpt2_edge.measure.score import score_tokens
from server.served import Served

PATH = "/v1/completions"
PROMPT = "The old man turned"


def events(server: Served, path: str = PATH, **body: Any) -> list[dict[str, Any]]:
    """The events of a stream, which has to end with [DONE]."""
    with server.client.stream("POST", path, json={**body, "stream": True}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def joined(chunks: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """What the chunks of a stream say of choice `index`, put together."""
    choice: dict[str, Any] = {"index": index, "text": "", "finish_reason": None, "token_ids": []}
    logprobs: dict[str, list[Any]] = {}
    for chunk in chunks:
        for part in chunk["choices"]:
            if part["index"] == index:
                assert choice["finish_reason"] is None  # nothing comes behind it
                choice["text"] += part["text"]
                choice["token_ids"] += part.get("token_ids", [])
                choice["finish_reason"] = part["finish_reason"]
                for name, values in (part["logprobs"] or {}).items():
                    logprobs.setdefault(name, []).extend(values or [])
    choice["logprobs"] = logprobs or None
    return choice


def test_a_completion(server: Served, generator: Generator) -> None:
    answer = server.done(
        PATH, prompt=PROMPT, max_tokens=12, seed=7, temperature=0.9, model="sample"
    )
    expected = generator.generate(
        PROMPT, max_new_tokens=12, seed=7, temperature=0.9, top_p=1, top_k=0
    )
    assert answer["id"].startswith("cmpl-")
    assert answer["object"] == "text_completion"
    assert answer["model"] == "sample"
    (choice,) = answer["choices"]
    assert choice == {
        "index": 0,
        "text": expected.text,
        "finish_reason": "length",
        "logprobs": None,
    }
    read = len(generator.encode(PROMPT))
    usage = answer["usage"]
    assert usage["prompt_tokens"] == read
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == read + 12


def test_defaults_are_openais(server: Served) -> None:
    one, other = (server.done(PATH, prompt=PROMPT) for _ in range(2))
    assert one["usage"]["completion_tokens"] <= 16
    # Temperature 1 without a seed: two texts of 16 tokens are never alike.
    assert one["choices"][0]["text"] != other["choices"][0]["text"]


def test_greedy(server: Served, generator: Generator) -> None:
    answer = server.done(PATH, prompt=PROMPT, max_tokens=9, temperature=0, return_token_ids=True)
    expected = generator.generate(PROMPT, max_new_tokens=9, do_sample=False)
    assert answer["choices"][0]["token_ids"] == list(expected.ids)


def test_prompts_of_every_kind(server: Served, generator: Generator) -> None:
    ids = generator.encode(PROMPT)
    fixed = {"max_tokens": 5, "temperature": 0}
    text = server.done(PATH, prompt=PROMPT, **fixed)["choices"][0]["text"]
    for prompt, count in ((ids, 1), ([PROMPT], 1), ([PROMPT, ids], 2), ([ids, ids, ids], 3)):
        choices = server.done(PATH, prompt=prompt, **fixed)["choices"]
        assert [choice["text"] for choice in choices] == [text] * count
        assert [choice["index"] for choice in choices] == list(range(count))


def test_an_empty_prompt_is_the_beginning_of_a_text(server: Served, generator: Generator) -> None:
    expected = generator.generate([0], max_new_tokens=6, do_sample=False)
    for body in ({}, {"prompt": ""}, {"prompt": None}, {"prompt": [""]}, {"prompt": [[]]}):
        choice = server.done(PATH, **body, max_tokens=6, temperature=0)["choices"][0]
        assert choice["text"] == expected.text


def test_several_texts_are_the_librarys(server: Served, generator: Generator) -> None:
    expected = generator.generate(
        PROMPT, max_new_tokens=8, seed=3, num_return_sequences=3, top_k=0, temperature=1
    )
    body = {"prompt": PROMPT, "max_tokens": 8, "seed": 3, "n": 3}
    whole = server.done(PATH, **body)
    assert [c["text"] for c in whole["choices"]] == [text.text for text in expected.sequences]
    assert whole["usage"]["completion_tokens"] == sum(len(t.ids) for t in expected.sequences)
    chunks = events(server, **body)
    assert [joined(chunks, number)["text"] for number in range(3)] == [
        text.text for text in expected.sequences
    ]


def test_best_of_has_the_likeliest_by_token(server: Served, generator: Generator) -> None:
    expected = generator.generate(
        PROMPT, max_new_tokens=8, seed=5, num_return_sequences=6, logprobs=True, temperature=1,
        top_k=0,
    )  # fmt: skip
    means = {text.text: sum(text.logprobs or ()) / len(text.ids) for text in expected.sequences}
    best = sorted(means, key=lambda text: -means[text])[:2]
    answer = server.done(PATH, prompt=PROMPT, max_tokens=8, seed=5, n=2, best_of=6)
    assert [choice["text"] for choice in answer["choices"]] == best
    assert all(choice["logprobs"] is None for choice in answer["choices"])
    assert answer["usage"]["completion_tokens"] == sum(len(t.ids) for t in expected.sequences)


@pytest.mark.parametrize("echo", [False, True])
def test_a_stream_says_what_a_whole_answer_says(server: Served, echo: bool) -> None:
    body = {
        "prompt": [PROMPT, "A caf\u00e9 \U0001f600"], "max_tokens": 20, "seed": 11, "logprobs": 2,
        "return_token_ids": True, "stop": [" the"], "echo": echo,
    }  # fmt: skip
    whole = server.done(PATH, **body)
    chunks = events(server, **body, stream_options={"include_usage": True})
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert chunks[-1]["usage"][name] == whole["usage"][name]
    for number, choice in enumerate(whole["choices"]):
        streamed = joined(chunks, number)
        if echo:  # a stream's first piece is the prompt, with its tokens
            written = len(choice["token_ids"])
            streamed["token_ids"] = streamed["token_ids"][-written:]
        assert streamed == choice


def test_stop_strings(server: Served, generator: Generator) -> None:
    fixed = {"prompt": PROMPT, "max_tokens": 30, "seed": 2}
    text = server.done(PATH, **fixed)["choices"][0]["text"]
    stop = text[9:12]
    choice = server.done(PATH, **fixed, stop=stop)["choices"][0]
    assert choice["text"] == text[: text.index(stop)]
    assert choice["finish_reason"] == "stop"
    pieces = [part["text"] for chunk in events(server, **fixed, stop=[stop, "\x00"])
              for part in chunk["choices"]]  # fmt: skip
    assert "".join(pieces) == choice["text"]


def test_the_end_of_text_token_stops(server: Served) -> None:
    choice = server.done(
        PATH, prompt=PROMPT, max_tokens=9, logit_bias={"0": 100}, logprobs=1
    )["choices"][0]  # fmt: skip
    assert (choice["text"], choice["finish_reason"]) == ("", "stop")
    assert choice["logprobs"]["tokens"] == ["<|endoftext|>"]
    choice = server.done(
        PATH, prompt=PROMPT, max_tokens=3, logit_bias={"0": 100}, ignore_eos=True
    )["choices"][0]  # fmt: skip
    assert choice["finish_reason"] == "length"


def test_log_probabilities_of_prompt_and_text(server: Served, generator: Generator) -> None:
    fixed = {"prompt": PROMPT, "max_tokens": 4, "temperature": 0}
    choice = server.done(PATH, **fixed, logprobs=3, echo=True)["choices"][0]
    found = choice["logprobs"]
    text = choice["text"]
    assert text.startswith(PROMPT)
    ids = [*generator.encode(PROMPT), *generator.generate(PROMPT, max_new_tokens=4).ids]
    expected = [token.logprob for token in score_tokens(generator, ids)]
    assert found["token_logprobs"][0] is None
    assert found["token_logprobs"][1:] == pytest.approx(expected[1:], abs=1e-3)
    assert "".join(found["tokens"]) == text
    ends = [*found["text_offset"][1:], len(text)]
    pieces = [text[a:b] for a, b in zip(found["text_offset"], ends, strict=True)]
    assert pieces == found["tokens"]
    read = len(generator.encode(PROMPT))
    assert found["top_logprobs"][0] is None
    for token, logprob, top in zip(
        found["tokens"][1:], found["token_logprobs"][1:], found["top_logprobs"][1:], strict=True
    ):
        assert top[token] == logprob
        assert 3 <= len(top) <= 4
    for token, top in zip(found["tokens"][read:], found["top_logprobs"][read:], strict=True):
        assert token == max(top, key=top.__getitem__)  # it was greedy
    alone = server.done(PATH, **fixed, logprobs=3)["choices"][0]["logprobs"]
    assert alone["tokens"] == found["tokens"][read:]
    assert alone["text_offset"] == found["text_offset"][read:]
    assert server.done(PATH, **fixed, logprobs=0)["choices"][0]["logprobs"]["top_logprobs"] is None


def test_a_prompt_alone_can_be_scored(server: Served, generator: Generator) -> None:
    body = {"prompt": [PROMPT, generator.encode(PROMPT)], "max_tokens": 0, "echo": True}
    for choice in server.done(PATH, **body, logprobs=1)["choices"]:
        assert choice["text"] == PROMPT
        assert choice["finish_reason"] == "length"
        assert len(choice["logprobs"]["tokens"]) == len(generator.encode(PROMPT))
    (chunk, other) = events(server, **body)
    assert [part["choices"][0]["text"] for part in (chunk, other)] == [PROMPT] * 2


def test_parts_of_characters_are_told_apart(server: Served) -> None:
    choice = server.done(PATH, prompt="\U0001f600", max_tokens=0, echo=True, logprobs=0)["choices"][
        0
    ]
    tokens = choice["logprobs"]["tokens"]
    assert len(tokens) > 1
    content = b"".join(
        bytes.fromhex(t.removeprefix("bytes:\\x").replace("\\x", "")) for t in tokens
    )
    assert content.decode() == "\U0001f600"


def test_special_tokens_in_a_text_are_text(server: Served, generator: Generator) -> None:
    prompt = "A<|endoftext|>B"
    plain = generator.encode(prompt, parse_special=False)
    special = generator.encode(prompt)
    assert len(special) < len(plain)
    assert server.done(PATH, prompt=prompt)["usage"]["prompt_tokens"] == len(plain)
    answer = server.done(PATH, prompt=prompt, parse_special=True)
    assert answer["usage"]["prompt_tokens"] == len(special)


def test_our_own_settings(server: Served, generator: Generator) -> None:
    settings: dict[str, Any] = {
        "seed": 9, "temperature": 0.8, "top_k": 30, "top_p": 0.95, "min_p": 0.01,
        "repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.25,
        "no_repeat_ngram_size": 3, "min_new_tokens": 4, "prompt_lookup_num_tokens": 3,
    }  # fmt: skip
    answer = server.done(
        PATH, prompt=PROMPT, max_tokens=24, logit_bias={"12": -5}, return_token_ids=True, **settings
    )
    expected = generator.generate(PROMPT, max_new_tokens=24, logit_bias={12: -5.0}, **settings)
    assert answer["choices"][0]["token_ids"] == list(expected.ids)


def test_grammars(server: Served) -> None:
    pytest.importorskip("llguidance", reason="needs the extra [grammar]")
    choice = server.done(PATH, prompt=PROMPT, regex="[0-9]{3}", max_tokens=9)["choices"][0]
    assert choice["text"].isdigit()
    assert len(choice["text"]) == 3
    assert choice["finish_reason"] == "stop"
    choice = server.done(PATH, prompt=PROMPT, choices=["yes", "no"], max_tokens=9)["choices"][0]
    assert choice["text"] in ("yes", "no")
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"],
              "additionalProperties": False}  # fmt: skip
    choice = server.done(PATH, prompt=PROMPT, json_schema=schema, max_tokens=40)["choices"][0]
    assert set(json.loads(choice["text"])) == {"a"}
    assert "regex" in server.refused(400, PATH, prompt=PROMPT, regex="(")["message"]
    for hostile in ("(a{1000}){1000}", "[xy]z(a{1000}){1000}"):  # by llguidance's limits, seconds
        refusal = server.refused(400, PATH, prompt=PROMPT, regex=hostile, max_tokens=9)
        assert "too large" in refusal["message"]


def test_a_full_context(server: Served, generator: Generator) -> None:
    context = generator.context_length
    long = [5] * (context + 1)
    error = server.refused(400, PATH, prompt=long)
    assert error["code"] == "context_length_exceeded"
    assert str(context) in error["message"]
    answer = server.done(PATH, prompt=long, context_overflow="slide", max_tokens=4)
    assert answer["usage"]["completion_tokens"] == 4
    answer = server.done(PATH, prompt=long[:context], max_tokens=4, ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == 1  # there is no room for a second
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"best_of": 3, "stream": True}, "best_of"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"promt": "x"}, "promt"),
        ({"num_beams": 3}, "num_beams"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": 70}, None),  # more than this server ever takes
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"logprobs": 21}, "logprobs"),
        ({"logit_bias": {"x": 1}}, None),
        ({"logit_bias": {"1": 101}}, None),
        ({"logit_bias": {"999999": 1}}, None),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": [""]}, None),
        ({"prompt": 3}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [-1]}, None),
        ({"prompt": [999999]}, None),
        ({"context_overflow": "drop"}, "context_overflow"),
        ({"regex": ""}, None),
        ({"max_tokens": 65537}, "max_tokens"),
        ({"max_tokens": 16384, "logprobs": 9, "context_overflow": "slide"}, "max_tokens"),
    ],
)
def test_what_is_refused(server: Served, body: dict[str, Any], param: str | None) -> None:
    error = server.refused(400, PATH, **{"prompt": PROMPT, **body})
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"] == param
    assert "Traceback" not in error["message"]


def test_another_model(server: Served) -> None:
    error = server.refused(404, PATH, prompt=PROMPT, model="gpt-3.5-turbo-instruct")
    assert error["code"] == "model_not_found"


def test_known_fields_that_change_nothing(server: Served) -> None:
    server.done(PATH, prompt=PROMPT, user="me", suffix=None, stop=None, seed=None, max_tokens=1)
