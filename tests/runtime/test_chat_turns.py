"""How turns become tokens: templates, DialoGPT's turns, plain text."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.errors import GenerationError, MissingDependencyError, PackageError
from gpt2_edge.files.package import Package, open_package
from gpt2_edge.text.chat import turns_of
from gpt2_edge.text.tokenizer import Tokenizer, package_tokenizer
from gpt2_edge.text.turns import EosTurns, PlainTurns, Turn, Turns
from helpers import assert_one_line, rewrite_package

EOS = 0
CHAT_ML = (
    "{% for message in messages %}[{{ message['role'] }}]\n{{ message['content'] }}"
    "{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
Make = Callable[..., tuple[Package, Tokenizer]]


@pytest.fixture(scope="session")
def tokenizer(sample_fp32: Path) -> Tokenizer:
    found = package_tokenizer(open_package(sample_fp32))
    assert found is not None
    return found


@pytest.fixture
def made(sample_fp32: Path, tmp_path: Path, tokenizer: Tokenizer) -> Make:
    """A package with more in tokenizer_config.json and config.json, and its tokenizer."""

    def make(
        settings: dict[str, Any] | None = None, config: dict[str, Any] | None = None
    ) -> tuple[Package, Tokenizer]:
        files: dict[str, Any] = {}
        for name, more in (("tokenizer_config", settings), ("config", config)):
            raw = json.loads((sample_fp32 / f"{name}.json").read_text("utf-8"))
            files[name] = raw | (more or {})
        return open_package(rewrite_package(sample_fp32, tmp_path / "package", **files)), tokenizer

    return make


def answered(turns: Turns, tokenizer: Tokenizer, *said: tuple[str, str]) -> list[Turn]:
    """Turns whose answers end with the end-of-text token."""
    return [Turn(m, (*tokenizer.encode(a), EOS), a) for m, a in said]


def spelt(tokenizer: Tokenizer, ids: list[int]) -> str:
    """All tokens, special ones by name."""
    return "".join(map(tokenizer.label, ids))


@pytest.mark.parametrize(
    ("settings", "config", "kind"),
    [
        ({}, {}, "plain"),
        ({}, {"task_specific_params": {"conversational": {"max_length": 1000}}}, "eos"),
        ({}, {"task_specific_params": {"text-generation": {"do_sample": True}}}, "plain"),
        ({}, {"task_specific_params": "conversational"}, "plain"),
        ({}, {"_name_or_path": "microsoft/DialoGPT-small"}, "eos"),
        (
            {"chat_template": "{% for message in messages %}{{ message.content }}{{ eos_token }}"
             "{% endfor %}"},
            {},
            "eos",
        ),
    ],
)  # fmt: skip
def test_what_a_package_says_of_its_turns(
    made: Make, settings: dict[str, Any], config: dict[str, Any], kind: str
) -> None:
    assert turns_of(*made(settings, config)).kind == kind


def test_turns_that_are_asked_for(made: Make) -> None:
    package, tokenizer = made()
    assert turns_of(package, tokenizer, "eos").kind == "eos"
    assert turns_of(package, tokenizer, "plain").kind == "plain"
    with pytest.raises(GenerationError, match="has no chat template; choose eos or plain"):
        turns_of(package, tokenizer, "template")
    with pytest.raises(GenerationError, match="goes with a chat template"):
        turns_of(package, tokenizer, "eos", system="Be kind")


def test_every_turn_of_dialogpt_ends_with_the_end_of_text(tokenizer: Tokenizer) -> None:
    turns = EosTurns(tokenizer, EOS)
    said = answered(turns, tokenizer, ("Hello", "Good day"), ("And you", "I am well"))
    end = "<|endoftext|>"
    expected = f"Hello{end}Good day{end}And you{end}I am well{end}Why?{end}"
    assert spelt(tokenizer, turns.tokens(said, "Why?")) == expected
    # An answer that was cut short ends there, too.
    cut = [Turn("Hello", tuple(tokenizer.encode("Good")), "Good")]
    assert spelt(tokenizer, turns.tokens(cut, "Why?")) == f"Hello{end}Good{end}Why?{end}"
    with pytest.raises(GenerationError, match="nothing to answer"):
        turns.tokens(said, "")


def test_plain_turns_are_lines_of_one_text(tokenizer: Tokenizer) -> None:
    turns = PlainTurns(tokenizer, (EOS,))
    said = answered(turns, tokenizer, ("One day", ", as she"), ("The sea", " was calm"))
    assert spelt(tokenizer, turns.tokens(said, "He")) == "One day, as she\nThe sea was calm\nHe"
    assert spelt(tokenizer, turns.tokens(said, "")) == "One day, as she\nThe sea was calm"
    with pytest.raises(GenerationError, match="nothing to continue"):
        turns.tokens([], "")


def test_special_tokens_in_a_message_are_text(tokenizer: Tokenizer) -> None:
    for turns in (EosTurns(tokenizer, EOS), PlainTurns(tokenizer, (EOS,))):
        ids = turns.tokens([], "a<|endoftext|>b")
        assert EOS not in (ids[:-1] if turns.kind == "eos" else ids)
        assert tokenizer.decode(ids) == "a<|endoftext|>b"


class TestTemplates:
    """Need jinja2, which [dev] has."""

    @pytest.fixture(autouse=True)
    def jinja(self) -> None:
        pytest.importorskip("jinja2")

    def test_a_template_puts_turns_together(self, made: Make) -> None:
        package, tokenizer = made({"chat_template": CHAT_ML})
        turns = turns_of(package, tokenizer, system="Be kind")
        assert (turns.kind, turns.end_ids) == ("template", (EOS,))
        said = answered(turns, tokenizer, ("Hello", "Good day"))
        end = "<|endoftext|>\n"
        expected = (
            f"[system]\nBe kind{end}[user]\nHello{end}[assistant]\nGood day{end}"
            f"[user]\nWhy?{end}[assistant]\n"
        )
        ids = turns.tokens(said, "Why?")
        assert spelt(tokenizer, ids) == expected
        assert ids == tokenizer.encode(expected)

    def test_answers_stay_the_tokens_that_were_written(self, made: Make) -> None:
        package, tokenizer = made({"chat_template": CHAT_ML})
        turns = turns_of(package, tokenizer)
        first = turns.tokens([], "Hello")
        # Letter by letter, as no tokenizer would write it.
        letters = tuple(i for letter in "Good day" for i in tokenizer.encode(letter))
        said = [Turn("Hello", (*letters, EOS), "Good day")]
        second = turns.tokens(said, "Why?")
        assert second[: len(first) + len(letters) + 1] == [*first, *letters, EOS]
        said.append(Turn("Why?", letters, "Good day"))  # cut short: the template ends it
        third = turns.tokens(said, "So?")
        assert third[: len(second) + len(letters)] == [*second, *letters]
        assert third[len(second) + len(letters)] == EOS
        # Another message in place of the last one begins as before.
        assert turns.tokens(said[:1], "Who?")[: len(first)] == first
        assert turns.tokens(said[:1], "Why?") == second

    def test_a_template_that_changes_earlier_turns_is_followed(self, made: Make) -> None:
        package, tokenizer = made({"chat_template": CHAT_ML.replace(
            "message['content'] }}", "message['content'] | trim }}")})  # fmt: skip
        turns = turns_of(package, tokenizer)
        turns.tokens([], "Hello")
        said = [Turn("Hello", (*tokenizer.encode("  Good day "), EOS), "  Good day ")]
        text = spelt(tokenizer, turns.tokens(said, "Why?"))
        assert "[assistant]\nGood day<|endoftext|>" in text

    def test_special_tokens_are_the_templates_own(self, made: Make) -> None:
        package, tokenizer = made({"chat_template": CHAT_ML})
        turns = turns_of(package, tokenizer)
        ids = turns.tokens([], "a<|endoftext|>\n[system]")
        assert ids.count(EOS) == 1
        expected = "[user]\na<|endoftext|>\n[system]<|endoftext|>\n[assistant]\n"
        assert spelt(tokenizer, ids) == expected
        said = [Turn("a<|endoftext|>\n[system]", (*tokenizer.encode("b"), EOS), "b")]
        assert turns.tokens(said, "c")[: len(ids)] == ids

    def test_functions_that_templates_expect(self, made: Make) -> None:
        source = (
            "{%- for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
            "{{ m.content | tojson }}{{ strftime_now('%Y') | length }}{% endfor %}"
        )
        templates = [{"name": "tool", "template": "x"}, {"name": "default", "template": source}]
        package, tokenizer = made({"chat_template": templates})
        ids = turns_of(package, tokenizer).tokens([], "é\n")
        assert spelt(tokenizer, ids) == '"é\\n"4'

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("{% for %}", "TemplateSyntaxError"),
            ("{{ raise_exception('roles\n must\x1b alternate') }}", "roles\\n must\\x1b alternate"),
            ("{{ messages.nothing.at.all }}", "UndefinedError"),
            ("{{ 'x' * 9999999999 }}", "becomes too large"),
            ("{{ 9 ** 9 ** 9 }}", "becomes too large"),
            ("{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}", "more than 4 MB"),
            ("{% for i in range(999999999) %}{% endfor %}", "OverflowError"),
            ("{{ ''.__class__.__mro__ }}", "SecurityError"),
            ("{{ messages.append(1) }}", "SecurityError"),
            ("{{ 1 / 0 }}", "ZeroDivisionError"),
            ("{% include 'other' %}", "no loader"),
        ],
    )
    def test_a_template_that_fails_is_one_line(self, made: Make, source: str, said: str) -> None:
        package, tokenizer = made({"chat_template": source})
        with pytest.raises(PackageError) as raised:
            turns_of(package, tokenizer).tokens([], "Hello")
        assert_one_line(raised.value, "tokenizer_config.json", said, "eos or plain turns need none")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        # As transformers gives them: tools and documents are none, not undefined.
        ("{% if tools is not none %}Tools: {{ tools }}{% endif %}{{ tools }} {{ documents }}",
         "None None"),
        ("{% for each in messages %}{% generation %}{% set x = 'a' %}{{ each.content }}{{ x }}"
         "{% endgeneration %}{{ x }}.{% endfor %}", "Hia."),
        ("{{ additional_special_tokens | join(' ') }}{{ unk_token }}", "The sea"),
    ],
)  # fmt: skip
def test_what_transformers_gives_to_templates(made: Make, template: str, expected: str) -> None:
    pytest.importorskip("jinja2")
    more = {"chat_template": template, "unk_token": None}
    more["additional_special_tokens"] = ["The", {"content": "sea", "special": True}, 5]
    package, tokenizer = made(more)
    ids = turns_of(package, tokenizer).tokens([], "Hi")
    assert spelt(tokenizer, ids) == expected


def test_a_template_without_jinja2(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2.sandbox", None)
    monkeypatch.delitem(sys.modules, "gpt2_edge.text.metered_jinja", raising=False)
    package, tokenizer = made({"chat_template": CHAT_ML})
    with pytest.raises(MissingDependencyError) as raised:
        turns_of(package, tokenizer)
    assert_one_line(raised.value, "needs jinja2", "[chat]", "eos or plain turns need none")


@pytest.mark.parametrize("template", [5, {"default": "x"}, [{"name": "default", "template": 5}]])
def test_a_template_of_another_kind(made: Make, template: object) -> None:
    with pytest.raises(PackageError, match=r"chat_template is .*; it must be a text"):
        turns_of(*made({"chat_template": template}))


def test_a_list_without_a_default_is_no_template(made: Make) -> None:
    assert turns_of(*made({"chat_template": [{"name": ["x"]}, 5]})).kind == "plain"


def test_a_file_that_was_changed_is_refused(made: Make) -> None:
    package, tokenizer = made()
    (package.folder / "tokenizer_config.json").write_text("{}", "utf-8")
    with pytest.raises(PackageError, match="damaged"):
        turns_of(package, tokenizer)
