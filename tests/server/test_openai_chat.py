"""Chats by the `openai` package: DialoGPT's turns and a template's, against the library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

openai = pytest.importorskip("openai", minversion="1.60")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from gpt2_edge import Generator  # noqa: E402
from gpt2_edge.text.turns import EosTurns, Turn  # noqa: E402
from helpers import rewrite_package  # noqa: E402
from server.process import WAIT, Served, served  # noqa: E402

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


@pytest.fixture(scope="module")
def dialogue(sample_fp32: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = json.loads((sample_fp32 / "config.json").read_text("utf-8"))
    raw["task_specific_params"] = {"conversational": {"max_length": 1000}}
    return rewrite_package(sample_fp32, tmp_path_factory.mktemp("eos") / "dialogue", config=raw)


@pytest.fixture(scope="module")
def templated(sample_fp32: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("jinja2")
    raw = json.loads((sample_fp32 / "tokenizer_config.json").read_text("utf-8"))
    raw["chat_template"] = TEMPLATE
    folder = tmp_path_factory.mktemp("template") / "templated"
    return rewrite_package(sample_fp32, folder, tokenizer_config=raw)


@pytest.fixture(scope="module")
def dialogue_server(dialogue: Path) -> Iterator[Served]:
    with served(dialogue) as running:
        yield running


@pytest.fixture(scope="module")
def dialogue_client(dialogue_server: Served) -> Iterator[Any]:
    with client_of(dialogue_server) as client:
        yield client


def client_of(server: Served) -> Any:
    url = f"{server.url}/v1"
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=WAIT)


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def model_of(client: Any) -> str:
    name: str = client.models.list().data[0].id
    return name


def test_turns_of_dialogpt(dialogue_client: Any, dialogue: Path) -> None:
    generator = Generator.load(dialogue)
    assert generator.tokenizer is not None
    turns = EosTurns(generator.tokenizer, generator.manifest.eos_token_ids[0])
    client, model = dialogue_client, model_of(dialogue_client)
    said: list[Any] = []
    past: list[Turn] = []
    for message in ("Good day", "Who are you?", "Where do you live?"):
        said.append(user(message))
        answer = client.chat.completions.create(
            model=model, messages=said, temperature=0, max_tokens=12
        )
        prompt = turns.tokens(past, message)
        expected = generator.generate(prompt, max_new_tokens=12, do_sample=False)
        (choice,) = answer.choices
        assert choice.message.role == "assistant"
        assert choice.message.content == expected.text
        assert choice.finish_reason == ("stop" if expected.finish_reason == "eos" else "length")
        assert answer.object == "chat.completion"
        assert answer.usage.prompt_tokens == len(prompt)
        assert answer.usage.completion_tokens == len(expected.ids)
        said.append({"role": "assistant", "content": expected.text})
        ids = tuple(generator.encode(str(expected), parse_special=False))
        past.append(Turn(message, ids, str(expected)))


def test_a_stream_of_a_chat(dialogue_client: Any) -> None:
    client, model = dialogue_client, model_of(dialogue_client)
    asked = {"model": model, "messages": [user("Good day")], "seed": 5, "max_tokens": 40}
    whole = client.chat.completions.create(**asked).choices[0]
    *chunks, last = client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    assert chunks[0].object == "chat.completion.chunk"
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.message.content
    assert chunks[-1].choices[0].finish_reason == whole.finish_reason
    assert last.choices == []
    assert last.usage.completion_tokens > 0


def test_logprobs_of_a_chat(dialogue_client: Any, dialogue: Path) -> None:
    generator = Generator.load(dialogue)
    assert generator.tokenizer is not None
    turns = EosTurns(generator.tokenizer, generator.manifest.eos_token_ids[0])
    answer = dialogue_client.chat.completions.create(
        model=model_of(dialogue_client),
        messages=[user("Good day")],
        temperature=0,
        max_tokens=8,
        logprobs=True,
        top_logprobs=2,
    )
    expected = generator.generate(
        turns.tokens([], "Good day"), max_new_tokens=8, do_sample=False, logprobs=True,
        top_logprobs=2,
    )  # fmt: skip
    content = answer.choices[0].logprobs.content
    assert [each.token for each in content] == [generator.token_label(i) for i in expected.ids]
    assert [each.logprob for each in content] == pytest.approx(expected.logprobs, abs=1e-4)
    for each in content:
        assert len(each.top_logprobs) == 2
        assert each.top_logprobs[0].logprob == each.logprob  # greedy
        assert bytes(each.bytes).decode("utf-8", "replace") == each.token


def test_several_answers(dialogue_client: Any) -> None:
    answer = dialogue_client.chat.completions.create(
        model=model_of(dialogue_client), messages=[user("Good day")], n=3, seed=1, max_tokens=12
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1


def test_max_completion_tokens(dialogue_client: Any) -> None:
    answer = dialogue_client.chat.completions.create(
        model=model_of(dialogue_client),
        messages=[user("Good day")],
        seed=1,
        max_completion_tokens=3,
        extra_body={"ignore_eos": True},
    )
    assert answer.usage.completion_tokens == 3


def test_a_template_of_the_package(templated: Path) -> None:
    generator = Generator.load(templated)
    with served(templated) as server, client_of(server) as client:
        said: list[Any] = [{"role": "system", "content": "Be kind"}, user("Hello")]
        answer = client.chat.completions.create(
            model=model_of(client), messages=said, temperature=0, max_tokens=6
        )
        prompt = "system: Be kind\nuser: Hello\n"
        first = generator.generate(prompt, max_new_tokens=6, do_sample=False).text
        assert answer.choices[0].message.content == first
        said += [{"role": "assistant", "content": first}, user("<|endoftext|>Go on")]
        answer = client.chat.completions.create(
            model=model_of(client), messages=said, temperature=0, max_tokens=6
        )
        prompt += f"assistant: {first}\nuser: <|endoftext|>Go on\n"
        # What a person writes is text, special tokens too.
        ids = generator.encode(prompt, parse_special=False)
        assert answer.usage.prompt_tokens == len(ids)
        expected = generator.generate(ids, max_new_tokens=6, do_sample=False).text
        assert answer.choices[0].message.content == expected


def test_a_package_without_turns(sample_fp32: Path) -> None:
    with served(sample_fp32) as server, client_of(server) as client:
        with pytest.raises(openai.BadRequestError, match="chat template") as caught:
            client.chat.completions.create(model=model_of(client), messages=[user("Hello")])
        assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "Hello",
        [{"role": "user"}],
        [{"role": "wizard", "content": "Hello"}],
        [{"role": "user", "content": 5}],
        [{"role": "assistant", "content": "Hello"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    ],
    ids=str,
)
def test_wrong_messages_are_told(dialogue_client: Any, messages: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        dialogue_client.chat.completions.create(model=model_of(dialogue_client), messages=messages)
    assert caught.value.type == "invalid_request_error"
    # As at OpenAI it may say where: messages[0].content.
    assert str(caught.value.param).partition("[")[0] == "messages"
    assert str(caught.value.body["message"]).isprintable()


def test_parts_of_text_are_one_text(dialogue_client: Any) -> None:
    parts = [{"type": "text", "text": "Good "}, {"type": "text", "text": "day"}]
    texts = [
        dialogue_client.chat.completions.create(
            model=model_of(dialogue_client), messages=[{"role": "user", "content": content}],
            temperature=0, max_tokens=8,
        ).choices[0].message.content
        for content in (parts, "Good day")
    ]  # fmt: skip
    assert texts[0] == texts[1]
