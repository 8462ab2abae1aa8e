"""POST /v1/chat/completions: chat templates, DialoGPT's turns, and packages with neither."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.generate import Generator
from helpers import rewrite_package
from server.served import Serve, Served

PATH = "/v1/chat/completions"
TEMPLATE = (
    "{% for m in messages %}"
    "{% if m.content == 'fail' %}{{ raise_exception('not that') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def template(
    serve: Serve, sample_fp32: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    pytest.importorskip("jinja2", reason="needs the extra [chat]")
    raw = json.loads((sample_fp32 / "tokenizer_config.json").read_text("utf-8"))
    raw["chat_template"] = TEMPLATE
    folder = tmp_path_factory.mktemp("chat") / "package"
    package = rewrite_package(sample_fp32, folder, tokenizer_config=raw)
    with serve(Generator.load(package, threads=1)) as served:
        yield served


@pytest.fixture(scope="module")
def dialogue(
    serve: Serve, sample_fp32: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    raw = json.loads((sample_fp32 / "config.json").read_text("utf-8"))
    raw["task_specific_params"] = {"conversational": {}}
    folder = tmp_path_factory.mktemp("chat") / "package"
    package = rewrite_package(sample_fp32, folder, config=raw)
    with serve(Generator.load(package, threads=1)) as served:
        yield served


def written(served: Served, text: str | list[int], **settings: Any) -> Any:
    return served.service.generator.generate(text, **settings)


def test_a_template(template: Served) -> None:
    messages = [
        {"role": "system", "content": "Be kind"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}],
        },
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": "Who?"},
    ]
    answer = template.done(PATH, messages=messages, max_tokens=7, temperature=0)
    prompt = "system: Be kind\nuser: Hello\nassistant: Yes\nuser: Who?\nassistant: "
    expected = written(template, prompt, max_new_tokens=7, do_sample=False)
    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    assert choice["message"] == {
        "role": "assistant", "content": expected.text, "refusal": None
    }  # fmt: skip
    assert choice["finish_reason"] == "length"
    assert answer["usage"]["prompt_tokens"] == expected.prompt_tokens
    assert answer["usage"]["completion_tokens"] == 7


def test_special_tokens_in_messages_are_text(template: Served) -> None:
    said = [{"role": "user", "content": "A<|endoftext|>B"}]
    usage = template.done(PATH, messages=said, max_tokens=1)["usage"]
    encode = template.service.generator.encode
    plain = encode("A<|endoftext|>B", parse_special=False)
    assert usage["prompt_tokens"] >= len(plain) + len(encode("user: \nassistant: ")) - 2


@pytest.mark.parametrize("kind", ["template", "dialogue"])
def test_special_tokens_in_messages_where_they_are_asked_for(
    kind: str, request: pytest.FixtureRequest
) -> None:
    served: Served = request.getfixturevalue(kind)
    said = [
        {"role": "user", "content": "A<|endoftext|>B"},
        {"role": "assistant", "content": "C<|endoftext|>"},
        {"role": "user", "content": "D<|endoftext|>"},
    ]
    tokenizer = served.service.generator.tokenizer
    assert tokenizer is not None

    def encoded(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False, parse_special=True)

    def read(**more: Any) -> int:
        usage = served.done(PATH, messages=said, max_tokens=1, **more)["usage"]
        return int(usage["prompt_tokens"])

    plain = read()
    assert read(parse_special=False) == plain
    if kind == "template":
        names = [f"{each['role']}: {each['content']}\n" for each in said]
        asked = encoded("".join([*names, "assistant: "]))
    else:  # every turn ends with one more, but an answer that ends with it already
        user, answer, last = (encoded(each["content"]) for each in said)
        assert answer[-1] == 0
        asked = [*user, 0, *answer, *last, 0]
    assert asked.count(0) >= 3
    assert read(parse_special=True) == len(asked) < plain


def test_many_log_probabilities_are_bounded_and_made_beside_the_event_loop(
    template: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpt2_edge_server.logprobs as module

    body = {"messages": HELLO, "logprobs": True, "top_logprobs": 20}
    refusal = template.refused(400, PATH, **body, n=30)
    assert "is the most" in refusal["message"]
    threads, real = set(), module.token_text

    def token_text(model: Any, token: int) -> str:
        threads.add(threading.current_thread().name.rpartition("_")[0])
        return real(model, token)

    monkeypatch.setattr(module, "token_text", token_text)
    template.done(PATH, **body, max_tokens=3, ignore_eos=True)
    assert threads == {"gpt2-edge build"}


def test_a_stream(template: Served) -> None:
    body = {"messages": HELLO, "max_tokens": 9, "seed": 4, "n": 2, "logprobs": True,
            "top_logprobs": 2}  # fmt: skip
    whole = template.done(PATH, **body)
    with template.client.stream(
        "POST", PATH, json={**body, "stream": True, "stream_options": {"include_usage": True}}
    ) as lines:
        told = [line.removeprefix("data: ") for line in lines.iter_lines() if line]
    assert told.pop() == "[DONE]"
    chunks = [json.loads(line) for line in told]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks.pop()["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    for number, choice in enumerate(whole["choices"]):
        parts = [c for chunk in chunks for c in chunk["choices"] if c["index"] == number]
        assert parts[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(p["delta"].get("content", "") for p in parts) == choice["message"]["content"]
        assert [p["finish_reason"] for p in parts if p["finish_reason"]] == [
            choice["finish_reason"]
        ]
        records = [record for p in parts for record in (p["logprobs"] or {}).get("content", [])]
        assert records == choice["logprobs"]["content"]
        content = b"".join(bytes(record["bytes"]) for record in records)
        assert content.decode(errors="replace") == choice["message"]["content"]
        assert all(len(record["top_logprobs"]) == 2 for record in records)


def test_without_a_limit_it_may_fill_the_context(template: Served) -> None:
    answer = template.done(PATH, messages=HELLO, seed=1, ignore_eos=True)
    usage = answer["usage"]
    # The last token of a full context is written, not fed.
    context = template.service.generator.context_length
    assert usage["total_tokens"] in (context, context + 1)


def test_response_format(template: Served) -> None:
    pytest.importorskip("llguidance", reason="needs the extra [grammar]")
    schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"],
              "additionalProperties": False}  # fmt: skip
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = template.done(PATH, messages=HELLO, response_format=wanted, max_tokens=60)
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"a": 1}
    template.done(PATH, messages=HELLO, response_format={"type": "text"}, max_tokens=1)
    error = template.refused(400, PATH, messages=HELLO, response_format={"type": "xml"})
    assert error["param"] == "response_format"


def test_what_a_template_refuses(template: Served) -> None:
    error = template.refused(400, PATH, messages=[{"role": "user", "content": "fail"}])
    assert "not that" in error["message"]
    assert str(template.service.generator.package.folder) not in error["message"]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "system", "content": "Be kind"}],
        [{"role": "assistant", "content": "Hello"}],
        [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "tool", "content": "a"}],
        [{"role": "user", "content": [{"type": "image_url", "text": "a"}]}],
        [{"role": "user"}],
        [{"content": "a"}],
    ],
)
def test_messages_in_no_order(template: Served, messages: list[dict[str, Any]]) -> None:
    template.refused(400, PATH, messages=messages)


def test_dialogpts_turns(dialogue: Served) -> None:
    messages = [
        *HELLO,
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": "Who?"},
    ]
    answer = dialogue.done(PATH, messages=messages, max_tokens=5, temperature=0)
    encode = dialogue.service.generator.encode
    prompt = [*encode("Hello"), 0, *encode("Yes"), 0, *encode("Who?"), 0]
    expected = written(dialogue, prompt, max_new_tokens=5, do_sample=False)
    assert answer["choices"][0]["message"]["content"] == expected.text
    error = dialogue.refused(400, PATH, messages=[{"role": "system", "content": "x"}, *HELLO])
    assert "template" in error["message"]


def test_a_long_conversation(dialogue: Served) -> None:
    messages = [{"role": "user", "content": "and so on " * 600}]
    assert dialogue.refused(400, PATH, messages=messages)["code"] == "context_length_exceeded"
    dialogue.done(PATH, messages=messages, context_overflow="slide", max_tokens=2)


def test_no_chat(server: Served) -> None:
    error = server.refused(400, PATH, messages=HELLO)
    assert error["code"] == "no_chat"
    assert "/v1/completions" in error["message"]
    assert server.client.get("/model").json()["chat"] is False
