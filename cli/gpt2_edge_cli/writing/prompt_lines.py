"""A file of prompts, one JSON object per line: read line by line, each checked with its number."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gpt2_edge.errors import ContextOverflowError, GenerationError, GPT2EdgeError
from gpt2_edge.untrusted import TEXT_LIMIT, UnreadableError, one_line, parse_json, shown
from gpt2_edge_cli.arguments import PROMPT_LIMIT

if TYPE_CHECKING:
    from gpt2_edge.config import GenerationConfig
    from gpt2_edge.generate import Generator

_OWN = ("id", "prompt", "ids")  # what a line has beside settings


@dataclass(frozen=True)
class PromptLine:
    """A prompt of a file: tag is its "id" as a record of one entry, or empty."""

    number: int
    tag: dict[str, Any]
    text: str | None
    ids: list[int]
    config: GenerationConfig


class PromptFile:
    """The prompts in the file `name` ("-": standard input), which is read more than once.

    What can be read only once is copied into a temporary file. Raises GenerationError.
    """

    def __init__(self, name: str, generator: Generator, config: GenerationConfig) -> None:
        self.shown = "standard input" if name == "-" else one_line(name, 200)
        self._generator, self._config = generator, config
        try:
            self._file = _seekable(name)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise GenerationError(f"{self.shown} cannot be read ({reason})") from error

    def __enter__(self) -> PromptFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def lines(self) -> Iterator[PromptLine]:
        """All of them from the first on; empty lines do not count. Raises GenerationError with the
        number of the line that is none.
        """
        self._file.seek(0)
        number = 0
        while True:
            try:
                content = self._file.readline(PROMPT_LIMIT + 1)
            except OSError as error:
                raise GenerationError(f"{self.shown} cannot be read ({error.strerror})") from error
            if not content:
                return
            number += 1
            if content.strip() or len(content) > PROMPT_LIMIT:
                with self.named(number):
                    line = self._line(number, content)
                yield line

    def named(self, number: int) -> _Named:
        """Errors in the block name the file and the line `number`."""
        return _Named(f"{self.shown}, line {number}")

    def _line(self, number: int, content: bytes) -> PromptLine:
        if len(content) > PROMPT_LIMIT:
            raise GenerationError(f"it has more than {PROMPT_LIMIT >> 20} MB")
        try:
            value = parse_json(content.removeprefix(b"\xef\xbb\xbf") if number == 1 else content)
        except UnreadableError as error:
            raise GenerationError(f"it is no JSON ({error})") from error
        if not isinstance(value, dict):
            raise GenerationError(f'it is {shown(value)}; give an object: {{"prompt": "..."}}')
        given = [name for name in ("prompt", "ids") if name in value]
        if len(given) != 1:
            raise GenerationError('give it "prompt" (a text) or "ids" (a list of token ids)'
                                  f"{', not both' if given else ''}")  # fmt: skip
        tag = value.get("id")
        if isinstance(tag, (dict, list, float)):
            raise GenerationError(f'"id" is {shown(tag)}; it must be a text or a whole number')
        prompt = value[given[0]]
        if given == ["prompt"] and not isinstance(prompt, str):
            raise GenerationError(f'"prompt" is {shown(prompt)}; it must be a text')
        if given == ["ids"] and not isinstance(prompt, list):
            raise GenerationError(f'"ids" is {shown(prompt)}; it must be a list of token ids')
        settings = {name: each for name, each in value.items() if name not in _OWN}
        config = self._config.updated(settings)
        return PromptLine(
            number,
            {"id": tag} if "id" in value else {},
            prompt if isinstance(prompt, str) else None,
            self._fitted(self._generator.prompt_ids(prompt), config),
            config,
        )

    def _fitted(self, ids: list[int], config: GenerationConfig) -> list[int]:
        from gpt2_edge.decode.window import fitted

        if config.context_overflow == "slide":
            return fitted(ids, self._generator.context_length, config.keep)
        self._generator.check_fits(ids)
        return ids


class _Named:
    """What is wrong in the block, with where it stands in front."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, GPT2EdgeError):
            known = ContextOverflowError if isinstance(error, ContextOverflowError) else None
            raise (known or GenerationError)(f"{self._where}: {error}") from error


def _seekable(name: str) -> IO[bytes]:
    """The file `name` at its beginning, or a copy of it where it cannot be read twice."""
    if name == "-":
        if sys.stdin is None:
            raise ValueError("it is closed")
        return _copy(sys.stdin.buffer)
    file = Path(name).open("rb")  # noqa: SIM115 - PromptFile closes it
    if file.seekable():
        return file
    with file:
        return _copy(file)


def _copy(source: IO[bytes]) -> IO[bytes]:
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - PromptFile closes it
    try:
        # What has no end would fill the disk; a line that is too long ends the copy behind it.
        size = 0
        while line := source.readline(PROMPT_LIMIT + 1):
            size += len(line)
            if size > TEXT_LIMIT:
                raise ValueError(f"it has more than {TEXT_LIMIT >> 20} MB")
            copy.write(line)
            if len(line) > PROMPT_LIMIT:
                break
    except BaseException:
        copy.close()
        raise
    return copy
