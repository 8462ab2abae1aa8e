"""gpt2-edge attend: what is listed, as text and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cli.attending import EXAMPLE, TEXT, Capture, mistake, output_of
from cli.command import Output
from gpt2_edge import Generator
from gpt2_edge_cli.attending.view import token_texts


@pytest.fixture(scope="module")
def generator(sample_int4: Path) -> Generator:
    return Generator.load(sample_int4)


def listed(output: str) -> list[tuple[float, int, str]]:
    """Percentage, number and text of each token in the list."""
    found = re.findall(r'^ *([\d.]+)% +(\d+)  (".*")$', output, re.MULTILINE)
    return [(float(share), int(number), text) for share, number, text in found]


def test_what_the_last_token_attends_to(
    capsys: Capture, sample_int4: Path, generator: Generator
) -> None:
    weights = generator.attention(TEXT).mean((0, 1))[-1]
    output = output_of(capsys, sample_int4, TEXT)
    last = len(weights) - 1
    assert f'" times" (token {last}) attends to (mean of 6 layers with 4 heads each):' in output
    assert "best█" not in output.split("\n\n")[0].replace("\n", "")
    entries = listed(output)
    order = sorted(range(len(weights)), key=lambda i: -weights[i])
    assert [number for _, number, _ in entries] == order
    assert [text for _, _, text in entries][order.index(0)] == '"It"'
    for share, number, _ in entries:
        assert share == pytest.approx(100 * weights[number], abs=0.06)


def test_a_token_by_number_and_by_its_text(
    capsys: Capture, sample_int4: Path, generator: Generator
) -> None:
    by_word = output_of(capsys, sample_int4, EXAMPLE, "--word", "the")
    assert '" the" (token 5) attends to' in by_word
    assert "[the]" in by_word
    # Tokens behind it get nothing, and have no block.
    assert by_word.splitlines()[0].endswith(" street because it was too tired")
    assert by_word == output_of(capsys, sample_int4, EXAMPLE, "--token", "5")
    assert by_word == output_of(capsys, sample_int4, EXAMPLE, "--token", "-7")
    ids = ",".join(map(str, generator.encode(EXAMPLE)))
    assert by_word == output_of(capsys, sample_int4, "--ids", ids, "--token", "5")
    first = output_of(capsys, sample_int4, EXAMPLE, "--token", "0")
    assert listed(first) == [(100.0, 0, '"The"')]


def test_layers_heads_and_how_many_are_listed(
    capsys: Capture, sample_int4: Path, generator: Generator
) -> None:
    weights = generator.attention(EXAMPLE)[:, :, 8]
    for options, expected, named in (
        (["--layer", 3], weights[3].mean(0), "layer 3, mean of 4 heads"),
        (["--head", 2], weights[:, 2].mean(0), "head 2, mean of 6 layers"),
        (["--layer", 3, "--head", 2], weights[3, 2], "layer 3, head 2"),
    ):
        output = output_of(capsys, sample_int4, EXAMPLE, "--word", "it", "-k", 3, *options)
        assert f"({named}):" in output
        entries = listed(output)
        assert [number for _, number, _ in entries] == np.argsort(-expected)[:3].tolist()
        rest = 100 - sum(share for share, _, _ in entries)
        (others,) = re.findall(r"^ *([\d.]+)%  6 others$", output, re.MULTILINE)
        assert float(others) == pytest.approx(rest, abs=0.11)


def test_json(capsys: Capture, sample_int4: Path, generator: Generator) -> None:
    record = json.loads(output_of(capsys, sample_int4, TEXT, "--json"))
    ids = generator.encode(TEXT)
    assert [token["id"] for token in record["tokens"]] == ids
    assert "".join(token["text"] for token in record["tokens"]) == TEXT
    assert {k: record[k] for k in ("layers", "heads", "layer", "head", "token")} == {
        "layers": 6, "heads": 4, "layer": None, "head": None, "token": None
    }  # fmt: skip
    weights = generator.attention(TEXT)
    assert [len(row) for row in record["weights"]] == list(range(1, len(ids) + 1))
    for query, row in enumerate(record["weights"]):
        np.testing.assert_allclose(row, weights.mean((0, 1))[query, : query + 1], atol=1e-6)
    one = json.loads(
        output_of(capsys, sample_int4, TEXT, "--json", "--layer", 5, "--head", 0, "--word", "best")
    )
    assert (one["layer"], one["head"], one["token"]) == (5, 0, 3)
    np.testing.assert_allclose(one["weights"][-1], weights[5, 0, -1], atol=1e-6)


def test_the_matrix_as_percentages(
    capsys: Capture, sample_int4: Path, generator: Generator
) -> None:
    head, *rows = output_of(capsys, sample_int4, EXAMPLE, "--matrix").splitlines()
    assert head.startswith("row: a token")
    weights = generator.attention(EXAMPLE).mean((0, 1))
    for query, row in enumerate(rows):
        number, label, shares = re.fullmatch(r' *(\d+)  (".*") +((?: *\d+)+)', row).groups()  # type: ignore[union-attr]
        assert int(number) == query
        assert label.strip()[1:-1] == token_texts(generator, generator.encode(EXAMPLE))[query]
        expected = [round(100 * float(w)) for w in weights[query, : query + 1]]
        np.testing.assert_allclose(list(map(int, shares.split())), expected, atol=1)


def test_the_text_is_the_example_where_nothing_is_given(ok: Output, sample_int4: Path) -> None:
    expected = ok("attend", sample_int4, EXAMPLE, "--json")
    assert ok("attend", sample_int4, "--json") == expected
    assert ok("attend", sample_int4, "--json", stdin=f"{EXAMPLE}\n") == expected
    assert ok("attend", sample_int4, "--json", "-", stdin=EXAMPLE) == expected
    assert ok("attend", sample_int4, "--json", stdin=TEXT) != expected


def test_nothing_on_standard_input_that_was_asked_for(refused: Output, sample_int4: Path) -> None:
    assert "the prompt is empty" in refused("attend", sample_int4, "-")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--layer 6", "--layer is 6; this model has layers 0 to 5"),
        ("--layer -1", "--layer is -1; this model has layers 0 to 5"),
        ("--head 4", "--head is 4; this model has heads 0 to 3"),
        ("--token 12", "--token is 12; this text has tokens 0 to 11"),
        ("--token -13", "--token is -13"),
        ("--token x", "--token"),
        ("--word cat", "no token of the text is 'cat'; the last are 'cross', 'the'"),
        ("--word it --token 3", "give --token or --word, not both"),
        ("-k 0", "it must be at least 1"),
        ("--matrix --json", "--json has all tokens, too"),
        ("--matrix --word it", "--matrix shows all tokens"),
        ("--force", "--force is for --html and --png"),
        ("--html missing/page.html", "there is no folder"),
        ("--html .", "it is a folder"),
        ("--html=", "it is a folder"),
        ("--html /dev/null --force", "it is no regular file"),
        ("--html a.x --png a.x", "name the same file"),
    ],
)
def test_mistakes(capsys: Capture, sample_int4: Path, line: str, expected: str) -> None:
    if "--png" in line:
        pytest.importorskip("matplotlib")
    assert expected in mistake(capsys, sample_int4, EXAMPLE, *line.split())


@pytest.mark.parametrize("flavour", ["portable", "static"])
def test_packages_that_have_none(
    capsys: Capture, random_package: Callable[..., Path], flavour: str
) -> None:
    line = mistake(capsys, random_package(flavour=flavour), "--ids", "1,2,3")
    assert f"graph variant {flavour}" in line
    assert "--flavour fused" in line


def test_a_package_without_a_tokenizer(
    capsys: Capture, random_package: Callable[..., Path]
) -> None:
    package = random_package()
    record = json.loads(output_of(capsys, package, "--ids", "5,7,3", "--json"))
    assert [token["text"] for token in record["tokens"]] == ["5", " 7", " 3"]
    assert '" 3" (token 2) attends to' in output_of(capsys, package, "--ids", "5,7,3")
    assert "has no tokenizer" in mistake(capsys, package, "text")


def test_tokens_that_make_a_character_together(generator: Generator) -> None:
    for text in ("I paid 海 and 😀😀", "😀", "\u0645\u0631\u062d", "a\n\tb"):
        ids = generator.encode(text)
        texts = token_texts(generator, ids)
        assert len(texts) == len(ids)
        assert all(texts)
        assert "".join(texts).replace("·", "") == text
    half = generator.encode("😀")[:2]
    assert "\ufffd" in "".join(token_texts(generator, half))
