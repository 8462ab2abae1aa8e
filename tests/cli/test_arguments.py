"""Options stand anywhere, texts may begin with a dash, and a mistake is one line with advice."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import gpt2_edge
import gpt2_edge_cli
from gpt2_edge_cli.main import main
from gpt2_edge_cli.parsing import HelpAskedError, UsageError
from gpt2_edge_cli.registry import VERBS, find_verb, load_verb


def parse(line: str) -> argparse.Namespace:
    verb, *arguments = shlex.split(line)
    return load_verb(verb).parser.parse(arguments)


def refused(line: str) -> str:
    with pytest.raises(UsageError) as raised:
        parse(line)
    assert raised.value.verb == line.split()[0]
    return str(raised.value)


# Every order of the same arguments means the same.
ORDERS = {
    "generate": [
        'PKG "The sea" -n 5 --json',
        'PKG -n 5 "The sea" --json',
        '-n 5 PKG "The sea" --json',
        '-n 5 --json PKG "The sea"',
        'PKG --json "The sea" -n 5',
        'PKG --max-new-tokens 5 "The sea" --json',
        'PKG --max-new-tokens=5 --json "The sea"',
        'PKG -n5 --json "The sea"',
        'PKG -n=5 --json "The sea"',
        '--json -n 5 PKG -- "The sea"',
        '--json -n 5 -- PKG "The sea"',
        'PKG -n 4 --json "The sea" -n 5',
    ],
    "next": ['PKG "What do" -k 2', 'PKG -k 2 "What do"', '-k 2 PKG "What do"', 'PKG -k2 "What do"'],
    "score": ['PKG "It was" --bos', 'PKG --bos "It was"', '--bos PKG "It was"'],
    "eval": [
        "PKG lambada --data F --limit 3",
        "--data F --limit 3 PKG lambada",
        "PKG --data=F lambada --limit=3",
    ],
    "export": ["gpt2 -o out --force", "-o out gpt2 --force", "--force -oout gpt2"],
    "info": ["PKG --json --provider cpu", "--provider cpu PKG --json", "--json --provider=cpu PKG"],
    "verify": ["PKG --reference-outputs --threads 2", "--reference-outputs --threads 2 PKG"],
    "bench": ["PKG --json --threads 2", "--json PKG --threads 2"],
    "check-mobile": ["PKG --ort F", "--ort F PKG"],
    "optimize": ["PKG --clear", "--clear PKG"],
}


@pytest.mark.parametrize("verb", ORDERS)
def test_options_stand_anywhere(verb: str) -> None:
    first, *others = [parse(f"{verb} {line}") for line in ORDERS[verb]]
    assert first.__dict__.get("package", "PKG") == "PKG"
    for other in others:
        assert other == first


# Verb, an option's name of an earlier version, today's.
OLD_NAMES = [
    ("export", "--cache int8", "--cache-dtype int8"),
    ("export", "--compute=float16", "--compute-dtype float16"),
    ("export", "--activation relu", "--activation-function relu"),
    ("verify", "--published", "--reference-outputs"),
]


@pytest.mark.parametrize(("verb", "old", "new"), OLD_NAMES)
def test_an_old_name_does_the_same_and_is_not_shown(verb: str, old: str, new: str) -> None:
    places = "PKG -o F" if verb == "export" else "PKG"
    assert parse(f"{verb} {places} {old}") == parse(f"{verb} {new} {places}")
    assert parse(f"{verb} {places} {old}") != parse(f"{verb} {places}")
    parser = load_verb(verb).parser
    name = old.partition(" ")[0].partition("=")[0]
    assert not re.search(rf"{name}(?![\w-])", parser.format_help())
    assert name not in parser.option_names
    assert not re.search(rf"{name}(?![\w-])", refused(f"{verb} {places} {name[:-1]}"))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('PKG "-hello"', "-hello"),
        ('PKG -n 3 "- item"', "- item"),
        ('PKG "-5 degrees"', "-5 degrees"),
        ('PKG -n 3 -- "-5 degrees"', "-5 degrees"),
        ('-n 3 PKG -- "-5 degrees"', "-5 degrees"),
        ('PKG "-5"', "-5"),
        ('PKG "-1,5"', "-1,5"),
        ('PKG "-"', "-"),
        ('PKG "--"x', "--x y"),
        ('PKG "--- a/file"', "--- a/file"),
        ('PKG "-- he said"', "-- he said"),
        ('PKG "--json is an option"', "--json is an option"),
        ('PKG "-n is an option"', "-n is an option"),
        ("PKG -nobody", "-nobody"),
        ("PKG -fine", "-fine"),
        ("PKG -- --json", "--json"),
        ("PKG -- --", "--"),
        ("PKG -- -h", "-h"),
        ('PKG ""', ""),
        ("PKG -é", "-é"),
        ('PKG "a=b"', "a=b"),
    ],
)
def test_a_text_that_begins_with_a_dash(line: str, text: str) -> None:
    if text == "--x y":
        line = "PKG '--x y'"
    for verb in ("generate", "next", "score"):
        if "-n 3" in line and verb != "generate":
            continue
        assert parse(f"{verb} {line}").prompt == text


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("generate PKG --ids -1,5", "ids", "-1,5"),
        ("generate PKG x --temperature -0.5", "temperature", -0.5),
        ("generate PKG x --seed -3", "seed", -3),
        ("generate PKG x --stop -", "stop", ["-"]),
        ("generate PKG x --stop '- a' --stop=--json", "stop", ["- a", "--json"]),
        ("generate PKG x --stop=", "stop", [""]),
        ("generate PKG x --stop=a=b", "stop", ["a=b"]),
        ("next PKG x -k -1", "k", -1),
        ("info PKG --provider-option=a=b", "provider_option", ["a=b"]),
        ("export -o -- -x", "output", None),
    ],
)
def test_values_of_options_may_begin_with_a_dash(line: str, name: str, value: object) -> None:
    if value is None:
        assert "-o needs a value" in refused(line)
    else:
        assert getattr(parse(line), name) == value


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("generate PKG x --max-tokens 5", "'--max-tokens'; did you mean --max-new-tokens?"),
        ("generate PKG x --max_new_tokens 5", "did you mean --max-new-tokens?"),
        ("generate PKG x --max-length=5", "did you mean --max-new-tokens?"),
        ("generate PKG x --temp 1", "did you mean --temperature?"),
        ("generate PKG x --temprature 1", "did you mean --temperature?"),
        ("generate PKG x --top 1", "did you mean --top-k or --top-p or --top-logprobs?"),
        ("generate PKG x -k 1", "there is no option '-k'"),
        ("generate PKG x -seed 1", "did you mean --seed?"),
        ("generate PKG -temp 1 x", "'-temp'"),
        ("generate -temp PKG x", "'-temp'"),
        ("generate PKG x --zzz 2", "generate --help lists the options"),
        ("generate PKG x -y z", "there is no option '-y'"),
        ("generate PKG -yes x", "there is no option '-yes'"),
        ("generate PKG --jsno", "did you mean --json? (a text that begins with a dash: behind --)"),
        ("next PKG x --topk 1", "there is no option '--topk'"),
        ("score PKG x --bso", "did you mean --bos?"),
        ("info PKG --provder cpu", "did you mean --provider?"),
        ("export gpt2 -o x --quantize int4", "did you mean --recipe?"),
        ("bench -5", "there is no option '-5'"),
        ("generate PKG x -n", "-n needs a value"),
        ("generate PKG x -n --json", "-n needs a value"),
        ("generate PKG x --stop=--", "--stop cannot be --"),
        ("generate PKG x -n five", "-n/--max-new-tokens takes a whole number, not 'five'"),
        ("generate PKG x -n5x", "takes a whole number, not '5x'"),
        ("generate PKG x -n 1.5", "takes a whole number, not '1.5'"),
        ("generate PKG x --temperature hot", "--temperature takes a number, not 'hot'"),
        ("generate PKG x --json=yes", "--json takes no value, so not 'yes'"),
        ("generate PKG x --echo --no-echo", "--no-echo does not go with --echo"),
        ("generate PKG x --greedy --do-sample", "--do-sample does not go with --greedy"),
        ("export gpt2", "-o/--output is missing"),
        ("generate", "PACKAGE is missing: gpt2-edge generate [OPTIONS] PACKAGE [TEXT]"),
        ("eval PKG --data F", "TASK is missing: gpt2-edge eval [OPTIONS] PACKAGE TASK"),
        ("next PKG The sea", 'stands in quotes: gpt2-edge next PACKAGE "The sea"'),
        ("info PKG other", "'other' is one argument too many: gpt2-edge info [OPTIONS] PACKAGE"),
        ("generate PKG x --seed " + "1" * 5000, "--seed takes a smaller number, not '1111"),
    ],
)
def test_a_mistake_is_told_with_what_was_meant(line: str, expected: str) -> None:
    message = refused(line)
    assert expected in message
    assert len(message) < 250
    assert message.isprintable()


def test_values_are_shown_cut_and_printable() -> None:
    for line in ("next PKG x --WRONG", "generate PKG x -n WRONG", "next PKG x WRONG",
                 "generate PKG x --json=WRONG", "info PKG WRONG"):  # fmt: skip
        message = refused(line.replace("WRONG", shlex.quote("w\x1b[2J\n" * 10_000)))
        assert len(message) < 250
        assert message.isprintable()


@pytest.mark.parametrize("verb", VERBS)
def test_help_stands_anywhere(verb: str) -> None:
    for arguments in (["-h"], ["--help"], ["a", "-h"], ["--debug", "x", "y", "z", "--help"]):
        with pytest.raises(HelpAskedError):
            load_verb(verb).parser.parse(arguments)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gen", "generate"),
        ("genrate", "generate"),
        ("Generate", "generate"),
        ("run", "generate"),
        ("convert", "export"),
        ("exprot", "export"),
        ("perplexity", "score"),
        ("benchmark", "bench"),
        ("mobile", "check-mobile"),
        ("encode", "tokenize"),
        ("tokenise", "tokenize"),
        ("talk", "chat"),
        ("verfy", "verify"),
    ],
)
def test_a_mistyped_verb_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"there is no verb '{typed}'; did you mean {meant}"):
        find_verb(typed)


def test_a_word_that_is_near_no_verb_is_answered_with_all() -> None:
    with pytest.raises(UsageError, match="the verbs are export, generate, chat, next"):
        find_verb("x" * 10_000)
    with pytest.raises(UsageError, match="the verb comes first"):
        find_verb("--json")


def test_a_folder_in_place_of_the_verb(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; the verb comes first: gpt2-edge generate"):
        find_verb(str(tmp_path))


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_verbs_are_listed(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code
    assert status == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert all(f"\n    {verb}" in output.out for verb in VERBS)
    assert "exit status" in output.out


def test_help_of_a_verb_says_nothing_that_contradicts_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["help", "generate"])
    output = capsys.readouterr().out
    assert output.startswith("usage: gpt2-edge generate [OPTIONS] PACKAGE [TEXT] [TEXT ...]\n")
    assert "default: 1" not in output
    assert "generation_config.json" in output


@pytest.mark.parametrize("line", ["generate PKG x --max-tokens 5", "gen", "next PKG a b c"])
def test_a_usage_error_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert main(line.split()) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("gpt2-edge")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    "verb", ["generate", "info", "verify", "bench", "next", "score", "chat", "tokenize"]
)
@pytest.mark.parametrize("name", ["gpt2", "openai-community/gpt2"])
def test_a_hub_name_in_place_of_a_package(
    capsys: pytest.CaptureFixture[str], verb: str, name: str
) -> None:
    assert main([verb, name]) == 2
    assert capsys.readouterr().err == (
        f"gpt2-edge: {name}: no such package folder; export it first: "
        f"gpt2-edge export {name} -o gpt2-int4\n"
    )


def test_a_checkpoint_in_place_of_a_package(
    capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path
) -> None:
    assert main(["generate", str(tiny_checkpoint), "x"]) == 2
    message = capsys.readouterr().err
    assert "this is a checkpoint, no package; export it first: gpt2-edge export" in message
    assert message.endswith(" -o tiny-int4\n")


@pytest.mark.parametrize("python", ["python3.10", "python3.12", "python3.13", "python3.14"])
def test_other_pythons_parse_the_same(python: str) -> None:
    # Nothing but the standard library is needed for it. argparse differs from one to the next.
    found = shutil.which(python)
    code = (
        "from gpt2_edge_cli.registry import load_verb\n"
        "import sys\n"
        "parse = load_verb('generate').parser.parse\n"
        "for line in (['P', '-n', '5', '- a'], ['-n5', 'P', '- a'], ['--', 'P', '- a'],\n"
        "             ['P', '--', '- a'], ['P', '- a', '--stop=-']):\n"
        "    options = parse(line)\n"
        "    assert (options.package, options.prompt) == ('P', '- a'), options\n"
        "assert parse(['P', '--', '--']).prompt == '--'\n"
        "print(sys.version_info[:2])\n"
    )
    roots = [Path(module.__file__).parents[1] for module in (gpt2_edge, gpt2_edge_cli)]
    if found is None:
        pytest.skip(f"there is no {python} here")
    process = subprocess.run(
        [found, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, roots))},
    )
    if "is not installed" in process.stderr or process.returncode == 127:
        pytest.skip(f"there is no {python} here")  # pyenv's stand-in
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == str(tuple(map(int, python[6:].split("."))))
