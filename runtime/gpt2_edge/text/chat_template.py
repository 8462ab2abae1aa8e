"""Chat templates: Jinja in tokenizer_config.json, as transformers' apply_chat_template has them.

They come with the package, so they run in Jinja's sandbox, and what they do and write is bounded.
"""

from __future__ import annotations

import datetime
import importlib
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from gpt2_edge.errors import (
    GenerationError,
    GPT2EdgeError,
    MissingDependencyError,
    PackageError,
    install_hint,
)
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge.text.turns import Turn
from gpt2_edge.untrusted import one_line

_MOST_TEXT = 4 << 20  # characters that a template may write


class TemplateTurns:
    """Turns as the template `source` of `where` puts them.

    special: texts of special tokens by name, such as eos_token; lists of them. system: a message
    in front. parse_special: special tokens that are written out in messages count as such. Raises
    MissingDependencyError without jinja2, PackageError for what is no template.
    """

    kind = "template"

    def __init__(
        self,
        source: str,
        tokenizer: Tokenizer,
        special: Mapping[str, str | list[str]],
        end_ids: tuple[int, ...],
        where: str,
        system: str | None = None,
        parse_special: bool = False,
    ) -> None:
        self.end_ids, self._parses = end_ids, parse_special
        self._tokenizer, self._special, self._where = tokenizer, special, where
        self._system = system
        # Stands for a text that has what would be read as a special token.
        self._mark = secrets.token_hex(8)
        self._marked: dict[str, str] = {}
        # Number of turns -> those turns, the message behind them, and its prompt.
        self._known: dict[int, tuple[Sequence[Turn], str, str, list[int]]] = {}
        try:
            self._environment = _environment()
            self._template = self._environment.metered(source)
        except MissingDependencyError:
            raise
        except Exception as error:  # Jinja's own, RecursionError
            raise self._failure(error) from error

    def tokens(self, turns: Sequence[Turn], message: str) -> list[int]:
        """See Turns. Where the template leaves the turns before as they were, so do the tokens."""
        if not message:
            raise GenerationError("there is nothing to answer; type a text")
        text = self._rendered(turns, message)
        ids = self._grown(turns, text)
        if ids is None:
            ids = self._encode(text)
        self._known[len(turns)] = list(turns), message, text, ids
        return list(ids)

    def _grown(self, turns: Sequence[Turn], text: str) -> list[int] | None:
        """The tokens of `text`, if it is a longer one of the turn before with its answer."""
        if not turns or len(turns) - 1 not in self._known:
            return None
        before, message, begun, ids = self._known[len(turns) - 1]
        last = turns[-1]
        if list(turns[:-1]) != before or last.message != message:
            return None
        begun += self._safe(last.answer)
        if not text.startswith(begun):
            return None
        rest, answer = text[len(begun) :], list(last.answer_ids)
        if answer and not self._tokenizer.decode(answer[-1:]):  # a special token
            end = self._tokenizer.label(answer[-1])
            if rest.startswith(end):
                rest = rest[len(end) :]
            else:
                answer.pop()
        return [*ids, *answer, *self._encode(rest)]

    def _rendered(self, turns: Sequence[Turn], message: str) -> str:
        messages = [] if self._system is None else [self._message("system", self._system)]
        for turn in turns:
            messages += [
                self._message("user", turn.message),
                self._message("assistant", turn.answer),
            ]
        messages.append(self._message("user", message))
        parts, size = [], 0
        self._environment.begin()
        try:
            for part in self._template.generate(
                messages=messages,
                tools=None,  # not undefined: some templates ask whether it is none
                documents=None,
                add_generation_prompt=True,
                **self._special,
            ):
                parts.append(part)
                size += len(part)
                if size > _MOST_TEXT:
                    raise ValueError(f"it writes more than {_MOST_TEXT >> 20} MB")
        except Exception as error:  # whatever a template can do wrong
            raise self._failure(error) from error
        return "".join(parts)

    def _message(self, role: str, content: str) -> dict[str, str]:
        return {"role": role, "content": self._safe(content)}

    def _safe(self, content: str) -> str:
        """`content`, or a mark for it where it has what would be read as a special token."""
        encode = self._tokenizer.encode
        if self._parses or encode(content, add_special_tokens=False) == encode(
            content, add_special_tokens=False, parse_special=False
        ):
            return content
        for mark, known in self._marked.items():
            if known == content:
                return mark
        mark = f"\ue000{self._mark}{len(self._marked):06}\ue001"
        self._marked[mark] = content
        return mark

    def _encode(self, text: str) -> list[int]:
        """The template's own special tokens are such; those in a message are text."""
        first, *others = text.split(f"\ue000{self._mark}")
        ids = self._tokenizer.encode(first, add_special_tokens=False)
        for part in others:
            number, _, rest = part.partition("\ue001")
            # A template that cuts texts may have left a part of a mark, which stands for nothing.
            content = self._marked.get(f"\ue000{self._mark}{number}\ue001", "")
            ids += self._tokenizer.encode(content, add_special_tokens=False, parse_special=False)
            ids += self._tokenizer.encode(rest, add_special_tokens=False)
        return ids

    def _failure(self, error: Exception) -> GPT2EdgeError:
        reason = one_line(f"{type(error).__name__}: {error}", 300)
        return PackageError(
            f"{self._where}: its chat template fails ({reason}); eos or plain turns need none"
        )


def _environment() -> Any:
    """Jinja as templates expect it: transformers' settings, functions and filter."""
    try:
        metered = importlib.import_module("gpt2_edge.text.metered_jinja")
        failure = importlib.import_module("jinja2.exceptions").TemplateError
    except ImportError as error:
        raise MissingDependencyError(
            f"this package's chat template needs jinja2: {install_hint('chat')} (eos or plain "
            "turns need none)"
        ) from error

    def raise_exception(message: object) -> NoReturn:
        raise failure(str(message))

    environment: Any = metered.MeteredEnvironment()
    environment.add_filter("tojson", _to_json)
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Transformers' filter."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
