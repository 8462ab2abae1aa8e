"""gpt2-edge attend."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.command import COMMAND, ENVIRONMENT, Cli, Output
from gpt2_edge import Generator
from gpt2_edge_cli.attending import page as page_module
from gpt2_edge_cli.attending.shades import Shades
from gpt2_edge_cli.attending.view import make_view, token_texts
from gpt2_edge_cli.main import main
from gpt2_edge_cli.terminal import Screen, columns

EXAMPLE = "The animal didn't cross the street because it was too tired"
TEXT = "It was the best\nof times"
ESCAPE = re.compile(r"\x1b\[[\d;]*m")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def generator(sample_int4: Path) -> Generator:
    return Generator.load(sample_int4)


def output_of(capsys: Capture, *arguments: object) -> str:
    assert main(["attend", *map(str, arguments)]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def mistake(capsys: Capture, *arguments: object) -> str:
    assert main(["attend", *map(str, arguments)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("gpt2-edge")
    assert output.err.count("\n") == 1
    return output.err


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
    assert f"flavour {flavour}" in line
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


# --- pages


class Page(HTMLParser):
    """What is in a page: elements with their attributes, and the text of each kind of element."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)


HOSTILE = '</script><img src=x onerror=alert(1)> @@DATA@@ <!-- $& "q" \u2028 😀'


@pytest.mark.parametrize("text", [EXAMPLE, HOSTILE])
def test_a_page_of_all_layers_and_heads(
    capsys: Capture, sample_int4: Path, generator: Generator, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "attention.html"
    output = output_of(capsys, sample_int4, text, "--html", path)
    assert output == f"{path}: {path.stat().st_size / 1000:,.1f} kB\n"
    content = path.read_text("utf-8")
    found = Page(content)
    # Nothing is fetched, by anything: no element names an address, and the policy lets nothing in.
    for tag, attributes in found.elements:
        assert tag not in ("img", "link", "iframe", "object", "embed", "base", "a")
        assert not {"src", "href", "style"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    (policy,) = (
        attributes["content"] or ""
        for tag, attributes in found.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    data, script = found.texts["script"]
    (style,) = found.texts["style"]
    for kind, part in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|@import|url\(", content.replace(data, ""))
    assert data.isascii()
    record = json.loads(data)
    ids = generator.encode(text)
    assert record["texts"] == token_texts(generator, ids)
    assert (record["layers"], record["heads"]) == ([*range(6)], [*range(4)])
    assert record["start"] == len(ids) - 1
    assert_shares_of(record, generator.attention(text))


def assert_shares_of(record: dict[str, Any], weights: np.ndarray) -> None:
    shares = np.frombuffer(base64.b64decode(record["weights"]), "<u2") / 65535
    rows, keys = np.tril_indices(weights.shape[-1])
    np.testing.assert_allclose(shares, weights[:, :, rows, keys].ravel(), atol=1e-5)


def test_a_page_of_one_head(
    capsys: Capture, sample_int4: Path, generator: Generator, tmp_path: Path
) -> None:
    path = tmp_path / "p.html"
    options = ("--layer", 2, "--head", 1, "--word", "it")
    output_of(capsys, sample_int4, EXAMPLE, *options, "--html", path)
    record = json.loads(Page(path.read_text("utf-8")).texts["script"][0])
    assert (record["layers"], record["heads"], record["start"]) == ([2], [1], 8)
    assert_shares_of(record, generator.attention(EXAMPLE)[2:3, 1:2])


def test_a_page_that_would_be_too_large(
    capsys: Capture, sample_int4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "_MOST_WEIGHTS", 1000)
    path = tmp_path / "p.html"
    line = mistake(capsys, sample_int4, EXAMPLE, "--html", path)
    assert "12 tokens have 1,872 weights" in line
    assert not list(tmp_path.iterdir())
    output_of(capsys, sample_int4, EXAMPLE, "--html", path, "--layer", 1)
    assert path.exists()


def test_a_file_is_replaced_only_where_that_is_asked_for(
    capsys: Capture, sample_int4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notes.html"
    path.write_text("mine", "utf-8")
    line = mistake(capsys, sample_int4, EXAMPLE, "--html", path)
    assert str(path) in line
    assert "--force" in line
    assert path.read_text("utf-8") == "mine"

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        line = mistake(capsys, sample_int4, EXAMPLE, "--html", path, "--force")
    assert "No space left on device" in line
    assert path.read_text("utf-8") == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.html"]
    output = output_of(capsys, sample_int4, EXAMPLE, "--html", path, "--force", "--json")
    assert json.loads(output)["layers"] == 6
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.html"]


def test_a_picture(capsys: Capture, sample_int4: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    path = tmp_path / "attention.png"
    text = "I paid $5 and $6 for 海 😀\n\\frac{1}{2"  # what a formula could be made of
    output = output_of(capsys, sample_int4, text, "--png", path, "--html", tmp_path / "p.html")
    assert [line.split(": ")[0] for line in output.splitlines()] == [
        str(tmp_path / "p.html"),
        str(path),
    ]
    content = path.read_bytes()
    image = imread(io.BytesIO(content), format="png")
    assert image.shape[0] > 500
    assert image.shape[1] > 500
    # A white corner above the diagonal, and something dark in it.
    assert image[..., :3].min() < 0.3
    output_of(capsys, sample_int4, text, "--png", path, "--force", "--layer", 0, "--head", 0)
    assert path.read_bytes() != content


def test_a_picture_without_matplotlib(
    capsys: Capture, sample_int4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    line = mistake(capsys, sample_int4, EXAMPLE, "--png", tmp_path / "p.png")
    assert "pip install '.[plot]'" in line
    assert not list(tmp_path.iterdir())


def test_an_output_that_has_no_blocks(sample_int4: Path) -> None:
    process = subprocess.run(
        [*COMMAND, "attend", str(sample_int4), EXAMPLE],
        capture_output=True,
        env=ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        stdin=subprocess.DEVNULL,
    )
    assert process.stderr == b""
    assert process.returncode == 0
    first = process.stdout.decode("ascii").splitlines()[0]
    assert re.fullmatch(r"\dThe \danimal .* \d\[tired\]", first)
    assert "?" not in first


def test_nothing_steers_what_a_program_reads(cli: Cli, sample_int4: Path) -> None:
    process = cli("attend", sample_int4, "a\x1b]0;x\x07\x9bb\u202ec")
    assert process.returncode == 0
    assert not set("\x1b\x07\x9b\u202e") & set(process.stdout)


def test_shades_go_from_nothing_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    for styled in (False, True):
        screen.is_styled = styled
        shades = Shades(screen)
        cells = [shades.cell(share / 100, 2) for share in range(101)]
        assert len(dict.fromkeys(cells)) == (7 if styled else 9)
        assert cells[0] != shades.cell(0.02, 2)
        assert all(columns(ESCAPE.sub("", cell)) == 2 for cell in cells)
        assert shades.token(" it", 0.0) != shades.token(" it", 1.0)
        assert ESCAPE.sub("", shades.token(" it", 0.5)).endswith("it")


def test_a_view_says_what_it_is(generator: Generator) -> None:
    view = make_view(generator, EXAMPLE, 1, None)
    assert (view.layers, view.heads, view.what) == (6, 4, "layer 1, mean of 4 heads")
    np.testing.assert_allclose(view.weights.sum(-1), 1, atol=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
class TestAtTerminal:
    def test_the_example_in_shades(self, sample_int4: Path, generator: Generator) -> None:
        from cli.terminal import AtTerminal

        with AtTerminal("attend", sample_int4, "--word", "it") as terminal:
            assert terminal.end() == 0
            shown = terminal.shown
        first = shown.splitlines()[0]
        assert ESCAPE.sub("", first) == EXAMPLE
        assert first.count("\x1b[48;5;") == len(generator.encode(EXAMPLE))
        (chosen,) = re.findall(r"\x1b\[1;4m\x1b\[48;5;\d+;38;5;\d+m([^\x1b]*)", first)
        assert chosen == " it"
        assert re.search(r"\d%  [█▉▊▋▌▍▎▏]+ *8  \" it\"", ESCAPE.sub("", shown))
        assert shown.count("\x1b[0m") >= first.count("\x1b[48;5;")

    @pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_without_colours(self, sample_int4: Path, variables: dict[str, str]) -> None:
        from cli.terminal import AtTerminal

        with AtTerminal("attend", sample_int4, TEXT, **variables) as terminal:
            assert terminal.end() == 0
            assert "\x1b" not in terminal.shown
            assert "[times]" in terminal.shown
        with AtTerminal("attend", sample_int4, TEXT, "--matrix", **variables) as terminal:
            assert terminal.end() == 0
            assert "\x1b" not in terminal.shown
            assert "███" in terminal.shown

    def test_the_matrix_fits_or_says_so(self, sample_int4: Path) -> None:
        from cli.terminal import AtTerminal

        for width in (40, 80, 200):
            with AtTerminal("attend", sample_int4, EXAMPLE, "--matrix", columns=width) as terminal:
                assert terminal.end() == 0
                head, *rows = terminal.shown.splitlines()
            assert head.startswith("row: a token")
            assert len(rows) == 12
            assert "\x1b[48;5;18m" in rows[0]
            assert all(columns(ESCAPE.sub("", row)) < width for row in rows)
        with AtTerminal("attend", sample_int4, EXAMPLE, "--matrix", columns=25) as terminal:
            assert terminal.end() == 2
            assert "a table of 12 tokens does not fit the terminal" in terminal.shown

    def test_nothing_steers_a_terminal(self, sample_int4: Path) -> None:
        from cli.terminal import AtTerminal

        text = "a\x1b]0;x\x07\x9bb\u202ec\nd"
        for options in ([], ["--matrix"]):
            with AtTerminal("attend", sample_int4, text, *options, columns=200) as terminal:
                assert terminal.end() == 0
                assert not set("\x1b\x07\x9b\u202e") & set(ESCAPE.sub("", terminal.shown))
