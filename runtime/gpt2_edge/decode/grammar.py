"""Constrained output: the new text has to match a regular expression, JSON schema or grammar.

llguidance (extra [grammar]) knows which tokens may come next; here that is a processor, so it holds
in batches, beams and drafts alike.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gpt2_edge.decode.processors import Logits
from gpt2_edge.decode.schema_bound import check_schema
from gpt2_edge.errors import GenerationError, MissingDependencyError, install_hint
from gpt2_edge.untrusted import UnreadableError, one_line, parse_json

# What a grammar may cost llguidance, whose own limits let `(a{1000}){1000}` compute for seconds
# before it fails. Its unit of work: some 10,000 to 50,000 take a millisecond on an idle machine.
_LIMITS: dict[str, Any] = {
    "initial_lexer_fuel": 100_000,
    "step_lexer_fuel": 50_000,
    "max_lexer_states": 50_000,  # of 1 to 2 KB
    "verbose_errors": False,  # they are pages of a parser's state
}
# How it says that one of them, or of its own, is reached.
_TOO_LARGE = ("too many", "too big", "too large", "too complex", "fuel", "limit")

# What it says by a name of its own.
_MEANT = {"NoExtensionBias": "nothing matches it"}


class Grammar:
    """A compiled grammar for texts that begin behind `prompt` tokens.

    Pure in the tokens so far, as every processor: what the matcher has consumed is only a memory of
    the last call, and is rolled back where the tokens are others.
    """

    def __init__(self, compiled: CompiledGrammar, prompt: int) -> None:
        self._prompt = prompt
        self._matcher = compiled.matcher()
        self._mask = compiled.numpy.allocate_token_bitmask(1, compiled.vocab_size)
        self._numpy = compiled.numpy
        self._consumed: list[int] = []

    def __call__(self, text: Sequence[int], logits: Logits) -> Logits:
        """`logits` [vocab] with those that the grammar forbids at minus infinity."""
        self._follow(text)
        self._numpy.fill_next_token_bitmask(self._matcher, self._mask, 0)
        bits = np.unpackbits(self._mask[0].view(np.uint8), bitorder="little")[: len(logits)]
        logits[: len(bits)][bits == 0] = -np.inf
        logits[len(bits) :] = -np.inf
        return logits

    def complete(self, text: Sequence[int]) -> bool:
        """Whether `text` (of prompt and new tokens) matches and nothing can follow it."""
        self._follow(text)
        return bool(self._matcher.is_stopped())

    def _follow(self, text: Sequence[int]) -> None:
        """Bring the matcher behind the last of the new tokens."""
        new = list(text[self._prompt :])
        same = 0
        for mine, theirs in zip(self._consumed, new, strict=False):
            if mine != theirs:
                break
            same += 1
        if same < len(self._consumed):
            if not self._matcher.rollback(len(self._consumed) - same):
                raise _failure("the grammar failed", self._matcher.get_error())
            del self._consumed[same:]
        for token in new[same:]:
            if not self._matcher.consume_token(token):
                raise _failure(
                    f"the grammar cannot go on with token {token}", self._matcher.get_error()
                )
            self._consumed.append(token)


class CompiledGrammar:
    """A grammar for one tokenizer; `matcher` starts a text. Threads may share it.

    tokenizer_json: the tokenizer as the tokenizers library writes it. What can take long is done
    here, with other threads running, and within bounds. Raises GenerationError for a grammar that
    is none or too large, and MissingDependencyError without llguidance.
    """

    def __init__(
        self, grammar: str, tokenizer_json: str, vocab_size: int, eos_ids: Sequence[int]
    ) -> None:
        llguidance = _library()
        self.numpy = importlib.import_module("llguidance.numpy")
        self.vocab_size = vocab_size
        try:
            tokenizer = _tokenizer(tokenizer_json, vocab_size, tuple(eos_ids))
        except Exception as error:  # the library raises ValueError and its own
            raise GenerationError(
                f"this package's tokenizer cannot be constrained: {one_line(str(error))}"
            ) from error
        limits = llguidance.LLParserLimits(**_LIMITS)
        self._first = llguidance.LLMatcher(tokenizer, grammar, log_level=0, limits=limits)
        self._check(self._first)
        # The first token is the dearest, and only behind it does a limit that it met show.
        mask = np.frombuffer(self._first.compute_bitmask(), np.uint8)
        allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little")[:vocab_size])
        self._check(self._first)
        if len(allowed):
            probe = self._first.deep_copy()
            probe.consume_token(int(allowed[0]))
            self._check(probe)

    def matcher(self) -> Any:
        """A new matcher, at the beginning of a text."""
        return self._first.deep_copy()

    @staticmethod
    def _check(matcher: Any) -> None:
        if matcher.is_error():
            raise _failure("the grammar cannot be used", matcher.get_error())


@lru_cache(maxsize=4)
def compiled(
    grammar: str, tokenizer_json: str, vocab_size: int, eos_ids: tuple[int, ...]
) -> CompiledGrammar:
    """A CompiledGrammar, which the prompts of a batch share; see there for what it raises."""
    return CompiledGrammar(grammar, tokenizer_json, vocab_size, eos_ids)


def _failure(what: str, reason: str) -> GenerationError:
    """What llguidance says, in a line; with advice where the grammar is too large for it."""
    reason = one_line(reason.replace("<non-verbose/>", "").strip())
    reason = _MEANT.get(reason, reason)
    if any(words in reason for words in _TOO_LARGE):
        reason += "; it is too large: repeat less, or allow fewer alternatives"
    return GenerationError(f"{what}: {reason}")


@lru_cache(maxsize=4)  # of GPT-2's size, one takes 0.2 s and 28 MB
def _tokenizer(tokenizer_json: str, vocab_size: int, eos_ids: tuple[int, ...]) -> Any:
    return _library().LLTokenizer(
        tokenizer_json, n_vocab=vocab_size, eos_token=list(eos_ids) or None
    )


def grammar_of(
    regex: str | None = None,
    json_schema: str | dict[str, Any] | None = None,
    choices: Sequence[str] = (),
    lark: str | None = None,
) -> str | None:
    """The grammar, in llguidance's form, that one of these asks for; None if none does.

    Raises GenerationError for several of them, or a schema that is no JSON.
    """
    given = [
        name
        for name, value in (
            ("regex", regex), ("json_schema", json_schema), ("choices", choices), ("lark", lark)
        )
        if value
    ]  # fmt: skip
    if not given:
        return None
    if len(given) > 1:
        raise GenerationError(f"{' and '.join(given)} are given; one of them constrains a text")
    matcher: Any = _library().LLMatcher
    grammar: str
    try:
        if json_schema:
            if isinstance(json_schema, dict):
                json_schema = json.dumps(json_schema)
            # Compact: a small model given the choice writes spaces for ever.
            compact = {"whitespace_flexible": False}
            grammar = matcher.grammar_from_json_schema(json_schema, compact)
            check_schema(parse_json(json_schema))
        elif lark:
            grammar = matcher.grammar_from_lark(lark)
            for schema in _schemas_in(lark):
                check_schema(schema)
        else:
            expression = regex or "|".join(f"({re.escape(choice)})" for choice in choices)
            grammar = matcher.grammar_from_regex(expression)
    except GenerationError:
        raise
    except RecursionError as error:
        raise GenerationError(f"{given[0]} cannot be used: it is nested too deeply") from error
    except (ValueError, TypeError, UnreadableError) as error:
        raise GenerationError(f"{given[0]} cannot be used: {one_line(str(error))}") from error
    return grammar


def _schemas_in(lark: str) -> Iterator[Any]:
    """The JSON schemas in a grammar in Lark's notation, which stand behind %json."""
    for found in re.finditer(r"%json\s*", lark):
        with contextlib.suppress(ValueError):  # not JSON: llguidance says so
            yield json.JSONDecoder().raw_decode(lark, found.end())[0]


def _library() -> Any:
    try:
        return importlib.import_module("llguidance")
    except ImportError as error:
        raise MissingDependencyError(
            f"regex, json_schema, choices and lark need llguidance: {install_hint('grammar')}"
        ) from error
