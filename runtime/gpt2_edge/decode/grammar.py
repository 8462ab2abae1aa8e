"""Constrained output: the new text has to match a regular expression, JSON schema or grammar.

llguidance (extra [grammar]) knows which tokens may come next; here that is a processor, so it holds
in batches, beams and drafts alike.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gpt2_edge.decode.processors import Logits
from gpt2_edge.errors import GenerationError, MissingDependencyError, install_hint
from gpt2_edge.untrusted import one_line


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
                raise GenerationError(f"the grammar failed: {one_line(self._matcher.get_error())}")
            del self._consumed[same:]
        for token in new[same:]:
            if not self._matcher.consume_token(token):
                raise GenerationError(
                    f"the grammar does not allow token {token}: "
                    f"{one_line(self._matcher.get_error())}"
                )
            self._consumed.append(token)


class CompiledGrammar:
    """A grammar for one tokenizer; `matcher` starts a text.

    tokenizer_json: the tokenizer as the tokenizers library writes it. Raises GenerationError for a
    grammar that is none, and MissingDependencyError without llguidance.
    """

    def __init__(
        self, grammar: str, tokenizer_json: str, vocab_size: int, eos_ids: Sequence[int]
    ) -> None:
        llguidance = _library()
        self.numpy = importlib.import_module("llguidance.numpy")
        self._matcher_type = llguidance.LLMatcher
        self._grammar, self.vocab_size = grammar, vocab_size
        try:
            self._tokenizer = _tokenizer(tokenizer_json, vocab_size, tuple(eos_ids))
        except Exception as error:  # the library raises ValueError and its own
            raise GenerationError(
                f"this package's tokenizer cannot be constrained: {one_line(str(error))}"
            ) from error
        wrong = llguidance.LLMatcher.validate_grammar(grammar, self._tokenizer)
        if wrong and not wrong.startswith("WARNING"):
            raise GenerationError(f"the grammar cannot be used: {one_line(wrong)}")

    def matcher(self) -> Any:
        """A new matcher, at the beginning of a text."""
        matcher = self._matcher_type(self._tokenizer, self._grammar, log_level=0)
        if matcher.is_error():
            raise GenerationError(f"the grammar cannot be used: {one_line(matcher.get_error())}")
        return matcher


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
        elif lark:
            grammar = matcher.grammar_from_lark(lark)
        else:
            expression = regex or "|".join(f"({re.escape(choice)})" for choice in choices)
            grammar = matcher.grammar_from_regex(expression)
    except (ValueError, TypeError) as error:
        raise GenerationError(f"{given[0]} cannot be used: {one_line(str(error))}") from error
    return grammar


def _library() -> Any:
    try:
        return importlib.import_module("llguidance")
    except ImportError as error:
        raise MissingDependencyError(
            f"regex, json_schema, choices and lark need llguidance: {install_hint('grammar')}"
        ) from error
