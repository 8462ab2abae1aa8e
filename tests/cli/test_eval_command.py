"""gpt2-edge eval."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.command import Output
from gpt2_edge.measure.evaluate.tasks import TASKS
from gpt2_edge_cli.main import main
from gpt2_edge_cli.verbs.eval import _number

PASSAGES = ["What do you want", "The rest of the day was spent in zoology", "It was a long day"]
SCHEMA = {
    "before": "The man could not lift his son because",
    "pronoun": "he",
    "after": "was so heavy.",
    "options": ["The man", "The son"],
    "label": 1,
}
MODELS = ["117M", "345M", "762M", "1542M"]


@pytest.fixture
def lambada(tmp_path: Path) -> Path:
    path = tmp_path / "lambada.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in PASSAGES), "utf-8")
    return path


def test_the_table_puts_the_paper_beside_the_measured(
    ok: Output, sample_int4: Path, lambada: Path
) -> None:
    lines = ok("eval", sample_int4, "lambada", "--data", lambada).splitlines()
    assert re.fullmatch(r"lambada: 3 passages of lambada\.jsonl, \d+ s", lines[0])
    assert lines[1].split() == ["measured", "GPT-2", "paper", *MODELS]
    figure = r"[\d.]+ ± [\d.]+"
    assert re.fullmatch(rf"perplexity +{figure} +LAMBADA +35.13 +15.60 +10.87 +8.63", lines[2])
    assert re.fullmatch(rf"accuracy +{figure} % +LAMBADA +45.99 +55.48 +60.12 +63.24", lines[3])
    assert len(lines) == 4
    columns = [
        line.index(value)
        for line, value in zip(lines[1:], ("1542M", " 8.63", "63.24"), strict=True)
    ]
    assert len(set(columns)) == 1


@pytest.mark.parametrize(
    ("value", "shown"), [(35.128, "35.13"), (219757152.04, "2.2e+08"), (999999.0, "999999.00")]
)
def test_figures_are_as_long_as_they_mean_something(value: float, shown: str) -> None:
    assert _number(value) == shown


def test_json_is_one_object(ok: Output, sample_int4: Path, lambada: Path) -> None:
    output = ok("eval", sample_int4, "lambada", "--data", lambada, "--limit", 2, "--json")
    assert output.count("\n") == 1
    result = json.loads(output)
    assert {name: result[name] for name in ("package", "recipe", "data", "task")} == {
        "package": "sample",
        "recipe": "int4",
        "data": "lambada.jsonl",
        "task": "lambada",
    }
    assert (result["items"], result["truncated"], result["skipped"]) == (2, 0, 0)
    perplexity, accuracy = result["figures"]
    assert set(perplexity) == {"name", "value", "standard_error", "unit", "published"}
    assert perplexity["published"][0]["figures"] == dict(
        zip(MODELS, [35.13, 15.6, 10.87, 8.63], strict=True)
    )
    assert (accuracy["name"], accuracy["unit"]) == ("accuracy", "%")


def test_json_has_no_infinity(ok: Output, sample_int4: Path, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("zq" * 2000, "utf-8")
    output = ok("eval", sample_int4, "wikitext2", "--data", path, "--json")
    result = json.loads(output, parse_constant=pytest.fail)
    assert [figure["value"] is None for figure in result["figures"]] == [False, True, True]


def test_wikitext2_says_its_window_and_counts(
    ok: Output, sample_int4: Path, tmp_path: Path
) -> None:
    path = tmp_path / "text"
    path.write_text("One day the king of the land was ill .\n" * 3, "utf-8")
    command = ("eval", sample_int4, "wikitext2", "--data", path, "--window", 16, "--stride", 4)
    lines = ok(*command).splitlines()
    assert re.fullmatch(
        r"wikitext2: 3 lines of text \(tokens \d+, words 30, window 16, stride 4\), \d+ s", lines[0]
    )
    assert [line.split(" ± ")[0].rsplit(maxsplit=1)[0] for line in lines[2:]] == [
        "perplexity per token",
        "perplexity per word",
        "perplexity per word or line end",
    ]


def test_every_task_has_its_table(ok: Output, sample_int4: Path, tmp_path: Path) -> None:
    story = "".join(f"{number} A dog and a cat .\n" for number in range(1, 21))
    content = {
        "lambada": json.dumps({"text": "What do you want"}),
        "wikitext2": "One day the king was ill .",
        "winograd": json.dumps(SCHEMA),
        "cbt": story + "21 The XXXXX barked .\tdog\t\tcat|dog",
        "choice": json.dumps({"context": "What do you", "options": ["want", "ten"], "label": 0}),
    }
    assert set(content) == set(TASKS)
    for task, text in content.items():
        path = tmp_path / task
        path.write_text(text + "\n", "utf-8")
        lines = ok("eval", sample_int4, task, "--data", path).splitlines()
        assert lines[0].startswith(f"{task}: 1 ")
        # Without published figures there are no names of models.
        assert ("1542M" in lines[1]) is (task != "choice")


def test_what_was_cut_or_skipped_is_said(ok: Output, sample_int4: Path, tmp_path: Path) -> None:
    path = tmp_path / "data"
    texts = ["the " * 600 + "end", "What " + "q9" * 600]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    first = ok("eval", sample_int4, "lambada", "--data", path).splitlines()[0]
    assert "1 passages of data, 1 of them with a cut context, 1 more too long, " in first


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["squad", "--data", "DATA"], "there is no task 'squad'"),
        (["lambada", "--data", "nowhere"], "nowhere cannot be read"),
        (["lambada", "--data", "DATA", "--limit", "0"], "the limit is 0"),
        (["lambada", "--data", "DATA", "--window", "8"], "lambada takes no window or stride"),
        (["wikitext2", "--data", "DATA", "--window", "513"], "window is 513"),
        (["wikitext2", "--data", "DATA", "--stride", "0"], "stride is 0"),
        (["winograd", "--data", "DATA"], 'lambada.jsonl, line 1: "before" must be a string'),
        (["cbt", "--data", "DATA"], "lambada.jsonl, line 1: this must be line 1"),
        (["lambada", "--data", "DATA", "--threads", "0"], "--threads is 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(
    refused: Output, sample_int4: Path, lambada: Path, arguments: list[str], expected: str
) -> None:
    given = [str(lambada) if argument == "DATA" else argument for argument in arguments]
    assert expected in refused("eval", sample_int4, *given)


def test_a_package_without_a_tokenizer(
    ok: Output, refused: Output, tiny_checkpoint: Path, tmp_path: Path, lambada: Path
) -> None:
    package = tmp_path / "tiny"
    ok("export", tiny_checkpoint, "-o", package, "--no-tokenizer")
    for task in ("lambada", "wikitext2"):
        message = refused("eval", package, task, "--data", lambada)
        assert f"{package} has no tokenizer" in message


def test_no_such_package(refused: Output, tmp_path: Path, lambada: Path) -> None:
    assert "no such package folder" in refused("eval", tmp_path / "x", "lambada", "--data", lambada)


def test_progress_is_shown_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    sample_int4: Path,
    lambada: Path,
) -> None:
    command = ["eval", str(sample_int4), "lambada", "--data", str(lambada)]
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(command) == 0
    assert "lambada: 2 of 3" in capsys.readouterr().err
