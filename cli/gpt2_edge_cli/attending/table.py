"""A text's attention at a terminal, and in its output: one token's, or the whole matrix."""

from __future__ import annotations

import shutil
import sys

from gpt2_edge.errors import GenerationError
from gpt2_edge_cli.attending.shades import Shades
from gpt2_edge_cli.attending.view import View
from gpt2_edge_cli.terminal import (
    Screen,
    columns,
    counted,
    cut,
    json_line,
    visible,
    without_steering,
)

_BAR = 20  # columns
_LABEL = 16  # columns of a token beside the matrix
_LEAST = 5e-5  # of a weight that is listed: 0.01%


def show_token(view: View, token: int, count: int) -> None:
    """The text in shades of how much its token number `token` attends to each other, and the
    `count` that it attends to most.
    """
    screen = Screen()
    shades = Shades(screen)
    weights = view.weights[token]
    largest = float(weights.max())
    shaded = [
        _lines(shades, text, float(weights[i]) / largest, i == token)
        for i, text in enumerate(view.texts)
    ]
    _print("".join(shaded))
    _print("")
    _print(f"{_name(view, token)} attends to ({view.what}):")
    order = sorted(range(token + 1), key=lambda i: (-weights[i], i))
    listed = [i for i in order[:count] if weights[i] >= _LEAST]
    width = len(str(max(listed, default=0)))
    for i in listed:
        bar = screen.bar(float(weights[i]) / largest, _BAR)
        share = f"{100 * weights[i]:5.1f}%"
        _print(f"{share}  {bar}{'  ' if bar else ''}{i:{width}}  {visible(view.texts[i])}")
    if len(listed) < token + 1:
        rest = 1 - sum(float(weights[i]) for i in listed)
        others = counted(token + 1 - len(listed), "other")
        _print(f"{100 * max(rest, 0.0):5.1f}%  {others}")


def show_matrix(view: View) -> None:
    """A row for each token: its shares for the tokens up to itself.

    In shades at a terminal, as percentages in what a program reads. Raises GenerationError where a
    terminal is too narrow.
    """
    screen = Screen()
    shades = Shades(screen)
    weights, count = view.weights, len(view.texts)
    labels = [cut(visible(text), _LABEL) for text in view.texts]
    label_width = max(columns(label) for label in labels)
    number_width = len(str(count - 1))
    _print(f"row: a token, and how much it attends to each before it ({view.what})")
    if not screen.is_terminal:
        for i in range(count):
            row = " ".join(f"{100 * weight:3.0f}" for weight in weights[i, : i + 1])
            _print(f"{i:{number_width}}  {_padded(labels[i], label_width)}  {row}")
        return
    room = shutil.get_terminal_size().columns - number_width - label_width - 5
    cell = min(room // count, 3)
    if cell < 1:
        raise GenerationError(
            f"a table of {count} tokens does not fit the terminal; shorten the text, or write "
            "--html FILE"
        )
    for i in range(count):
        row = "".join(shades.cell(float(weight), cell) for weight in weights[i, : i + 1])
        _print(f"{i:{number_width}}  {_padded(labels[i], label_width)}  {row}")


def json_of(view: View, token: int | None) -> str:
    """Tokens and weights as JSON on one line; row q of the weights has those of tokens 0 to q."""
    weights = view.weights
    record = {
        "tokens": [
            {"id": token_id, "text": text}
            for token_id, text in zip(view.ids, view.texts, strict=True)
        ],
        "layers": view.layers,
        "heads": view.heads,
        "layer": view.layer,
        "head": view.head,
        "token": token,
        "weights": [
            [round(float(weight), 7) for weight in row[: i + 1]] for i, row in enumerate(weights)
        ],
    }
    return json_line(record)


def _lines(shades: Shades, text: str, share: float, chosen: bool) -> str:
    """A token in its shade; a line's end has a sign of its own, and no shade runs on behind it."""
    clean = without_steering(text).replace("\t", "    ")
    parts = clean.split("\n")
    shaded = [shades.token(part + "↵", share, chosen) + "\n" for part in parts[:-1]]
    if parts[-1] or not shaded:
        shaded.append(shades.token(parts[-1], share, chosen))
    return "".join(shaded)


def _name(view: View, token: int) -> str:
    return f"{visible(view.texts[token])} (token {token})"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
