"""Every setting of GenerationConfig is an option, and means the same there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import GenerationConfig, GenerationError, Generator
from gpt2_edge.settings import RULES
from gpt2_edge_cli.main import main
from gpt2_edge_cli.parsing import UsageError
from gpt2_edge_cli.registry import load_verb
from gpt2_edge_cli.setting_options import OPTIONS, given_settings, typed_setting


def given(line: str) -> dict[str, Any]:
    return given_settings(load_verb("generate").parser.parse(["PKG", "x", *shlex.split(line)]))


def test_every_setting_has_an_option_of_its_name() -> None:
    assert set(OPTIONS) == set(RULES)
    names = load_verb("generate").parser.option_names
    assert {f"--{name.replace('_', '-')}" for name in RULES} <= set(names)


# A value for every setting, as it is typed, and what GenerationConfig is to get.
VALUES: dict[str, tuple[str, Any]] = {
    "max_new_tokens": ("--max-new-tokens 7", 7),
    "min_new_tokens": ("--min-new-tokens 2", 2),
    "do_sample": ("--do-sample", True),
    "temperature": ("--temperature 0.5", 0.5),
    "top_k": ("--top-k 4", 4),
    "top_p": ("--top-p 0.9", 0.9),
    "min_p": ("--min-p 0.1", 0.1),
    "typical_p": ("--typical-p 0.8", 0.8),
    "seed": ("--seed -3", -3),
    "repetition_penalty": ("--repetition-penalty 1.2", 1.2),
    "presence_penalty": ("--presence-penalty -1", -1.0),
    "frequency_penalty": ("--frequency-penalty 0.5", 0.5),
    "no_repeat_ngram_size": ("--no-repeat-ngram-size 3", 3),
    "bad_words_ids": ("--bad-words-ids 1,2 --bad-words-ids '[[3],[4,5]]'", ((1, 2), (3,), (4, 5))),
    "sequence_bias": (
        """--sequence-bias 1,2=-3.5 --sequence-bias '[[[3], 1], [4, 2]]'""",
        (((1, 2), -3.5), ((3,), 1.0), ((4,), 2.0)),
    ),
    "logit_bias": (
        """--logit-bias 5=-inf --logit-bias '{"6": 1}'""",
        (((5,), float("-inf")), ((6,), 1.0)),
    ),
    "suppress_tokens": ("--suppress-tokens 1,2 --suppress-tokens [3]", (1, 2, 3)),
    "begin_suppress_tokens": ("--begin-suppress-tokens '1 2'", (1, 2)),
    "eos_token_id": ("--eos-token-id 0 --eos-token-id 5", (0, 5)),
    "ignore_eos": ("--ignore-eos", True),
    "stop_strings": (
        """--stop '\\n' --stop-strings '["a","b"]' --stop-strings ']'""",
        ("\n", "a", "b", "]"),
    ),
    "include_stop_str": ("--include-stop-str", True),
    "max_time": ("--max-time 1.5", 1.5),
    "num_beams": ("--num-beams 3", 3),
    "length_penalty": ("--length-penalty 2", 2.0),
    "early_stopping": ("--early-stopping never", "never"),
    "num_return_sequences": ("--num-return-sequences 2", 2),
    "prompt_lookup_num_tokens": ("--prompt-lookup-num-tokens 4", 4),
    "context_overflow": ("--slide", "slide"),
    "keep": ("--keep 4", 4),
    "logprobs": ("--logprobs", True),
    "top_logprobs": ("--top-logprobs 2", 2),
    "regex": ("--regex '[a-z]+'", "[a-z]+"),
    "json_schema": ("""--json-schema '{"type": "object"}'""", '{"type": "object"}'),
    "choices": ("--choices yes --choices no", ("yes", "no")),
    "lark": ("--lark 'start: \"a\"'", 'start: "a"'),
}


def test_there_is_a_value_for_every_setting() -> None:
    assert set(VALUES) == set(RULES)


@pytest.mark.parametrize("name", VALUES)
def test_what_is_typed_is_what_the_configuration_gets(name: str) -> None:
    line, expected = VALUES[name]
    assert set(given(line)) == {name}
    assert getattr(GenerationConfig(**given(line)), name) == expected


def test_what_is_not_given_is_left_to_the_package() -> None:
    assert given("") == {}
    assert given("--greedy") == {"do_sample": False}
    assert given("--context-overflow stop") == {"context_overflow": "stop"}


def test_grammars_and_schemas_may_stand_in_files(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"type": "string"}', "utf-8")
    assert given(f"--json-schema @{file}") == {"json_schema": '{"type": "string"}'}
    with pytest.raises(UsageError, match="--lark cannot be read from '/nowhere': there is no such"):
        given("--lark @/nowhere")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--early-stopping perhaps", "--early-stopping takes true, false or never, not 'perhaps'"),
        ("--context-overflow grow", "takes stop or slide, not 'grow'"),
        ("--suppress-tokens one", "takes token ids, as 464,3290, not 'one'"),
        ("--suppress-tokens [true]", "takes token ids"),
        ("--eos-token-id ''", "takes token ids"),
        ("--bad-words-ids [[]]", "takes token ids"),
        ("--logit-bias 5", "takes ID=BIAS, as 464=-100, or JSON, not '5'"),
        ("--logit-bias =5", "takes ID=BIAS"),
        ("--logit-bias 5=high", "takes ID=BIAS"),
        ("--logit-bias '[[5]]'", "takes ID=BIAS"),
        ("--sequence-bias '{\"x\": 1}'", "takes ID=BIAS"),
        ("--sequence-bias '[[[], 1]]'", "takes ID=BIAS"),
        ("--regex ''", "takes a text, not an empty one"),
        ("--regex \udcff", "takes UTF-8 text"),
        ("--slide --context-overflow stop", "--context-overflow does not go with --slide"),
        ("--max-time soon", "--max-time takes a number, not 'soon'"),
    ],
)
def test_a_value_that_is_none_is_told_in_one_line(line: str, expected: str) -> None:
    with pytest.raises(UsageError) as raised:
        given(line)
    assert expected in str(raised.value)
    assert str(raised.value).isprintable()


def test_one_setting_as_it_is_typed_elsewhere() -> None:
    assert typed_setting("ignore_eos", "on") is True
    assert typed_setting("do_sample", "False") is False
    assert typed_setting("top_k", "5") == 5
    assert typed_setting("stop_strings", "\\n") == ["\n"]
    assert typed_setting("stop_strings", '["\\n", "x"]') == ["\n", "x"]
    with pytest.raises(GenerationError, match="top_k takes a whole number, not 'x'"):
        typed_setting("top_k", "x")


def test_the_help_has_a_line_for_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    lines = capsys.readouterr().out.splitlines()
    for name, option in OPTIONS.items():
        flag = f"--{name.replace('_', '-')} "
        (line,) = [one for one in lines if re.match(f"  (-n N, )?{flag}", one)]
        assert line.endswith(option.help)


def test_settings_reach_the_text(capsys: pytest.CaptureFixture[str], sample_int4: Path) -> None:
    generator = Generator.load(sample_int4)
    plain = generator.generate("One day", max_new_tokens=8)
    for line, settings in (
        (f"--suppress-tokens {plain.ids[0]}", {"suppress_tokens": [plain.ids[0]]}),
        (f"--logit-bias {plain.ids[1]}=-50", {"logit_bias": {plain.ids[1]: -50.0}}),
        ("--repetition-penalty 1.9", {"repetition_penalty": 1.9}),
        ("--min-p 0.2 --seed 4 --typical-p 0.9", {"min_p": 0.2, "seed": 4, "typical_p": 0.9}),
        ("--top-logprobs 2", {"top_logprobs": 2}),
    ):
        command = ["generate", str(sample_int4), "One day", "-n", "8", "--json", *line.split()]
        assert main(command) == 0
        record = json.loads(capsys.readouterr().out)
        expected = generator.generate("One day", max_new_tokens=8, **settings)  # type: ignore[arg-type]
        assert record["ids"] == list(expected.ids)
        assert (record["ids"] != list(plain.ids)) == ("top" not in line)
    assert [len(step) for step in record["top_logprobs"]] == [2] * 8
