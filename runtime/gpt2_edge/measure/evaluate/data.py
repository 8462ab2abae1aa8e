"""Reading evaluation data: every error is one line that names the file and the line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gpt2_edge.errors import EvaluationError
from gpt2_edge.untrusted import UnreadableError, parse_json, read_text_file


def read_text(path: Path) -> str:
    r"""The text of a UTF-8 file, without a byte order mark, every line end as \n.

    Raises EvaluationError where it cannot be read or is blank.
    """
    try:
        text = read_text_file(path)
    except UnreadableError as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from error
    if not text.strip():
        raise EvaluationError(f"{path} is empty")
    return text


@dataclass(frozen=True)
class Record:
    """One line of a JSONL file, with typed access to its fields."""

    path: Path
    line: int
    fields: dict[str, Any]

    def error(self, reason: str) -> EvaluationError:
        return EvaluationError(f"{self.path}, line {self.line}: {reason}")

    def text(self, name: str) -> str:
        """The string `name`; EvaluationError if it is missing or something else."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise self.error(f'"{name}" must be a string')
        return value

    def options(self, name: str = "options") -> tuple[str, ...]:
        """The list `name` of two strings or more, none of them empty."""
        value = self.fields.get(name)
        fine = isinstance(value, list) and len(value) > 1
        if not fine or not all(
            isinstance(option, str) and option.strip() for option in value or ()
        ):
            raise self.error(f'"{name}" must be a list of two strings or more, none of them empty')
        return tuple(value or ())

    def label(self, options: int, name: str = "label") -> int:
        """The whole number `name`: which of so many options is right, counted from 0."""
        value = self.fields.get(name)
        if type(value) is not int or not 0 <= value < options:  # JSON's true is no number
            raise self.error(f'"{name}" must be a whole number from 0 to {options - 1}')
        return value


def read_jsonl(path: Path, limit: int | None = None) -> Iterator[Record]:
    """The objects of a JSONL file, the first `limit` only; blank lines are passed over.

    Lines end where those of text files do, and nowhere else: JSON strings may hold Unicode's
    other line ends.
    """
    lines = enumerate(read_text(path).split("\n"), start=1)
    for number, line in islice(((n, text) for n, text in lines if text.strip()), limit):
        try:
            fields = parse_json(line)
        except UnreadableError as error:
            raise EvaluationError(f"{path}, line {number}: this is not JSON ({error})") from error
        if not isinstance(fields, dict):
            raise EvaluationError(f"{path}, line {number}: this is not a JSON object")
        yield Record(path, number, fields)
