"""From settings to a request: what GenerationConfig's names mean to the decoder."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpt2_edge.config import EffectiveSettings
from gpt2_edge.decode import processors as process
from gpt2_edge.decode.beam_texts import BeamTexts
from gpt2_edge.decode.draft import Drafter, prompt_lookup
from gpt2_edge.decode.grammar import CompiledGrammar, Grammar, compiled, grammar_of
from gpt2_edge.decode.processors import Processor
from gpt2_edge.decode.request import Criterion, Limits, ShouldStop, SingleText
from gpt2_edge.errors import GenerationError
from gpt2_edge.sampling import SplitMix64, make_chooser
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge.text.writer import TextWriter
from gpt2_edge.untrusted import shown

_ASSISTANT_TOKENS = 8  # that an assistant drafts at most
_NEW_SEED_BITS = 53  # so that JSON readers with float64 numbers keep a reported seed exact


@dataclass(frozen=True)
class Extras:
    """What a caller gives beside settings: functions, and what drafts for the text."""

    should_stop: ShouldStop | None = None
    logits_processor: Sequence[Processor] = ()
    stopping_criteria: Sequence[Criterion] = ()
    drafter: Drafter | None = None


class RequestMaker:
    """Makes the requests of one prompt: `config` is resolved, `eos_ids` the package's.

    Raises GenerationError for settings that this package cannot meet.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        config: EffectiveSettings,
        tokenizer: Tokenizer | None,
        eos_ids: Sequence[int],
        vocab_size: int,
        extra: Extras,
    ) -> None:
        self._prompt, self._config, self._tokenizer = prompt, config, tokenizer
        self._extra = extra
        if config.stop_strings and tokenizer is None:
            raise GenerationError("stop_strings need a tokenizer; this package has none")
        ends = eos_ids if config.eos_token_id is None else config.eos_token_id
        self._eos_ids = () if config.ignore_eos else tuple(ends)
        check_tokens(config, vocab_size)
        self._processors = (
            *_processors(config, self._eos_ids, len(prompt)),
            *map(process.checked, extra.logits_processor),
        )
        self._grammar = self._compiled(vocab_size)

    def seeds(self) -> list[int | None]:
        """A seed for each text; None for greedy ones. The first is the one that was asked for."""
        count = self._config.num_return_sequences
        if not self._config.do_sample:
            return [None] * count
        seed = self._config.seed
        first = secrets.randbits(_NEW_SEED_BITS) if seed is None else seed
        others = SplitMix64(first)
        return [first, *(others.next() >> (64 - _NEW_SEED_BITS) for _ in range(count - 1))]

    def single(self, seed: int | None) -> SingleText:
        """A text of its own, drawn with `seed`."""
        config = self._config
        processors, criteria = self._rules()
        drafter, most = self._extra.drafter, _ASSISTANT_TOKENS
        if drafter is None and config.prompt_lookup_num_tokens:
            drafter, most = prompt_lookup(), config.prompt_lookup_num_tokens
        writer = None
        if self._tokenizer is not None:
            writer = TextWriter(self._tokenizer, config.stop_strings, config.include_stop_str)
        return SingleText(
            self._prompt,
            self._limits(),
            make_chooser(config, seed or 0),
            processors,
            criteria,
            writer=writer,
            drafter=drafter,
            draft_tokens=most,
            logprobs=config.logprobs,
            top_logprobs=config.top_logprobs,
            should_stop=self._extra.should_stop,
        )

    def beams(self) -> BeamTexts:
        """Texts that are searched together."""
        config = self._config
        if config.do_sample:
            raise GenerationError(
                "num_beams searches without drawing tokens; leave out temperature, top_k, top_p, "
                "min_p, typical_p and seed, or set do_sample to False"
            )
        if config.num_return_sequences > config.num_beams:
            raise GenerationError(
                f"num_return_sequences is {config.num_return_sequences}; {config.num_beams} beams "
                "give at most as many texts"
            )
        processors, criteria = self._rules()
        return BeamTexts(
            self._prompt,
            self._limits(),
            config.num_beams,
            processors,
            (*criteria, *self._stop_strings()),
            length_penalty=config.length_penalty,
            early_stopping=config.early_stopping,
            should_stop=self._extra.should_stop,
        )

    def _limits(self) -> Limits:
        config = self._config
        return Limits(
            max_new_tokens=config.max_new_tokens,
            eos_ids=self._eos_ids,
            deadline=None if config.max_time is None else time.perf_counter() + config.max_time,
            slide=config.context_overflow == "slide",
            keep=config.keep,
        )

    def _stop_strings(self) -> list[Criterion]:
        """Whether a text has a stop string in it, from its tokens alone."""
        tokenizer, strings, begin = self._tokenizer, self._config.stop_strings, len(self._prompt)
        if tokenizer is None or not strings:
            return []
        return [lambda ids: any(s in tokenizer.decode(ids[begin:]) for s in strings)]

    def _rules(self) -> tuple[list[Processor], list[Criterion]]:
        """Processors and criteria of one request; a grammar keeps in mind where its text is."""
        processors: list[Processor] = [*self._processors]
        criteria: list[Criterion] = [*self._extra.stopping_criteria]
        if self._grammar is not None:
            grammar = Grammar(self._grammar, len(self._prompt))
            processors.append(grammar)
            criteria.append(grammar.complete)
        return processors, criteria

    def _compiled(self, vocab_size: int) -> CompiledGrammar | None:
        """The grammar that the settings ask for."""
        config = self._config
        grammar = grammar_of(config.regex, config.json_schema, config.choices, config.lark)
        if grammar is None:
            return None
        if self._tokenizer is None:
            raise GenerationError("a grammar needs a tokenizer; this package has none")
        return compiled(grammar, self._tokenizer.to_json(), vocab_size, self._eos_ids)


def _processors(
    config: EffectiveSettings, eos_ids: tuple[int, ...], prompt: int
) -> Iterator[Processor]:
    """Those that the settings ask for, in transformers' order."""
    biases: dict[tuple[int, ...], float] = {}
    for setting in (config.sequence_bias, config.logit_bias):
        for tokens, bias in dict(setting).items():  # of equal ones the last counts
            biases[tokens] = biases.get(tokens, 0.0) + bias
    if biases:
        yield process.sequence_bias(biases)
    if config.repetition_penalty != 1:
        yield process.repetition_penalty(config.repetition_penalty)
    if config.presence_penalty or config.frequency_penalty:
        yield process.presence_frequency_penalty(
            config.presence_penalty, config.frequency_penalty, prompt
        )
    if config.no_repeat_ngram_size:
        yield process.no_repeat_ngram(config.no_repeat_ngram_size)
    words = [word for word in config.bad_words_ids if word not in [(i,) for i in eos_ids]]
    if words:
        yield process.bad_words(words)
    if config.min_new_tokens and eos_ids:
        yield process.min_new_tokens(config.min_new_tokens, eos_ids, prompt)
    if config.suppress_tokens:
        yield process.suppress_tokens(config.suppress_tokens)
    if config.begin_suppress_tokens:
        yield process.begin_suppress_tokens(config.begin_suppress_tokens, prompt)


def check_tokens(config: EffectiveSettings, vocab_size: int) -> None:
    """Raise GenerationError for a setting with a token that the vocabulary has not."""
    biased = [tokens for tokens, _ in (*config.sequence_bias, *config.logit_bias)]
    for name, sequences in (
        ("sequence_bias or logit_bias", biased),
        ("bad_words_ids", config.bad_words_ids),
        ("suppress_tokens", [config.suppress_tokens]),
        ("begin_suppress_tokens", [config.begin_suppress_tokens]),
        ("eos_token_id", [config.eos_token_id or ()]),
    ):
        wrong = next((i for tokens in sequences for i in tokens if i >= vocab_size), None)
        if wrong is not None:
            raise GenerationError(
                f"{name} has token id {shown(wrong, 20)}, which is outside the vocabulary of "
                f"{vocab_size}"
            )
