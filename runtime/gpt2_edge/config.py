"""What a caller can ask of a generation, and what a package asks for where the caller does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

from gpt2_edge.errors import GenerationError
from gpt2_edge.settings import RULES, nearest_setting, package_settings
from gpt2_edge.untrusted import UnreadableError, read_json_object, shown

GENERATION_CONFIG_FILE = "generation_config.json"
# What such a file may set; its other settings do not count.
PACKAGE_SETTINGS = tuple(name for name, rule in RULES.items() if rule.package)

Biases = Mapping[int, float] | Mapping[tuple[int, ...], float] | Sequence[Any]


class Settings(TypedDict, total=False):
    """Settings as keywords, as in `generator.generate(text, top_k=40)`; None: not set."""

    max_new_tokens: int | None
    min_new_tokens: int | None
    do_sample: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    typical_p: float | None
    seed: int | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    no_repeat_ngram_size: int | None
    bad_words_ids: Sequence[Sequence[int]] | None
    sequence_bias: Biases | None
    logit_bias: Biases | None
    suppress_tokens: Sequence[int] | None
    begin_suppress_tokens: Sequence[int] | None
    eos_token_id: int | Sequence[int] | None
    ignore_eos: bool | None
    stop_strings: str | Sequence[str] | None
    include_stop_str: bool | None
    max_time: float | None
    num_beams: int | None
    length_penalty: float | None
    early_stopping: bool | Literal["never"] | None
    num_return_sequences: int | None
    prompt_lookup_num_tokens: int | None
    context_overflow: str | None
    keep: int | None
    logprobs: bool | None
    top_logprobs: int | None
    regex: str | None
    json_schema: str | Mapping[str, Any] | None
    choices: Sequence[str] | None
    lark: str | None


@dataclass(frozen=True, kw_only=True)
class EffectiveSettings:
    """What is done in the end: GenerationConfig's settings, none of them left open.

    The sampling settings count only where do_sample is set. spec/settings.json has the rules.
    """

    max_new_tokens: int
    min_new_tokens: int
    do_sample: bool
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    seed: int | None
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    no_repeat_ngram_size: int
    bad_words_ids: tuple[tuple[int, ...], ...]
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...]
    logit_bias: tuple[tuple[tuple[int, ...], float], ...]
    suppress_tokens: tuple[int, ...]
    begin_suppress_tokens: tuple[int, ...]
    eos_token_id: tuple[int, ...] | None
    ignore_eos: bool
    stop_strings: tuple[str, ...]
    include_stop_str: bool
    max_time: float | None
    num_beams: int
    length_penalty: float
    early_stopping: bool | Literal["never"]
    num_return_sequences: int
    prompt_lookup_num_tokens: int
    context_overflow: str
    keep: int
    logprobs: bool
    top_logprobs: int
    regex: str | None
    json_schema: str | dict[str, Any] | None
    choices: tuple[str, ...]
    lark: str | None

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn at random."""
        return self.do_sample


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of one generation; what is not given is the package's, else as said here.

    Names and meanings are those of transformers' GenerationConfig where it has them. None means
    not given; in brackets is what holds where the package does not say otherwise.

    Args:
        max_new_tokens: how many tokens to write at most (128).
        min_new_tokens: how many to write at least (0).
        do_sample: draw from the distribution; False takes the most likely token (greedy). Not
            given, it samples exactly if temperature, top_k, top_p, min_p, typical_p or seed is
            given, or the package says do_sample. (transformers samples only if do_sample says so.)
        temperature: divides the logits (1); 0 is greedy.
        top_k: keep the k most likely tokens (50); 0 keeps all.
        top_p: of those, the smallest set whose probability reaches top_p (1); 0 keeps one token.
        min_p: of those, tokens at least min_p times as likely as the most likely one (0).
        typical_p: of those, the ones of most typical surprise, up to this probability (1).
        seed: of the random generator; not given, a fresh one, which the result reports.
        repetition_penalty: divides logits of tokens that are in prompt or text (1: none).
        presence_penalty: subtracted once from logits of tokens of the new text, as OpenAI's (0).
        frequency_penalty: subtracted each time that a token is in the new text, as OpenAI's (0).
        no_repeat_ngram_size: no n tokens twice in prompt and text (0: off).
        bad_words_ids: sequences of tokens that are never completed.
        sequence_bias: what is added where the last of some tokens would follow, {(ids,): bias}.
        logit_bias: what is added to the logits of tokens, {id: bias}.
        suppress_tokens: tokens that are never written.
        begin_suppress_tokens: tokens that are not written first.
        eos_token_id: tokens that end a text, in place of the package's.
        ignore_eos: no token ends a text.
        stop_strings: end before the first of these strings.
        include_stop_str: end behind it instead.
        max_time: end when so many seconds have passed.
        num_beams: search this many texts together for the most likely one (1: no search), greedily.
        length_penalty: of beams: above 0 favours long texts (1).
        early_stopping: of beams: True, False or "never", as transformers has them (False).
        num_return_sequences: texts per prompt (1).
        prompt_lookup_num_tokens: draft up to so many tokens from earlier text (0: off).
        context_overflow: once the context is full, "stop" ends with finish_reason "length"; "slide"
            forgets the older half behind the first `keep` tokens, of too long prompts as well.
        keep: of "slide": how many tokens of the beginning stay (0).
        logprobs: return each token's natural log-probability, before all of the above.
        top_logprobs: and of the n most likely tokens there (0).
        regex: a regular expression that the whole new text has to match (extra [grammar]).
        json_schema: a JSON schema that it has to match.
        choices: texts of which it has to be one.
        lark: a grammar that it has to match.

    Raises GenerationError for an unknown name, or a value of another type or out of range.
    """

    max_new_tokens: int | None = None
    min_new_tokens: int | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    seed: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    bad_words_ids: Sequence[Sequence[int]] | None = None
    sequence_bias: Biases | None = None
    logit_bias: Biases | None = None
    suppress_tokens: Sequence[int] | None = None
    begin_suppress_tokens: Sequence[int] | None = None
    eos_token_id: int | Sequence[int] | None = None
    ignore_eos: bool = False
    stop_strings: tuple[str, ...] = ()
    include_stop_str: bool = False
    max_time: float | None = None
    num_beams: int | None = None
    length_penalty: float | None = None
    early_stopping: bool | Literal["never"] | None = None
    num_return_sequences: int | None = None
    prompt_lookup_num_tokens: int | None = None
    context_overflow: str = "stop"
    keep: int = 0
    logprobs: bool = False
    top_logprobs: int = 0
    regex: str | None = None
    json_schema: str | Mapping[str, Any] | None = None
    choices: tuple[str, ...] = ()
    lark: str | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, rule = getattr(self, field.name), RULES[field.name]
            if value is None and field.default in (None, ()):
                taken = field.default
            elif (taken := rule.take(value)) is None:
                raise GenerationError(f"{field.name} is {shown(value)}; it must be {rule.expected}")
            object.__setattr__(self, field.name, taken)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> GenerationConfig:
        """The settings in a generation_config.json, as transformers understands them.

        Without do_sample, the others do not make it sample.

        Args:
            path: the package, or a Hugging Face folder.
        """
        try:
            file = Path(path) / GENERATION_CONFIG_FILE
        except TypeError:
            raise GenerationError(f"path is {shown(path)}; it must be that of a folder") from None
        try:
            raw = read_json_object(file)
        except FileNotFoundError as error:
            raise GenerationError(
                f"there is no {file}; without settings of its own, GenerationConfig() is what holds"
            ) from error
        except UnreadableError as error:
            raise GenerationError(f"{file} cannot be read: {error}") from error
        try:
            return cls.from_json(raw)
        except GenerationError as error:
            raise GenerationError(f"{file}: {error}") from error

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> GenerationConfig:
        """The same of what such a file contains.

        Args:
            raw: its JSON.
        """
        if not isinstance(raw, Mapping):
            raise GenerationError(f"the settings are {shown(raw)}; give a JSON object, as a dict")
        settings: Any = package_settings(raw)
        if any(RULES[name].draws for name in settings):
            settings.setdefault("do_sample", False)
        return cls(**settings)

    def updated(self, settings: Mapping[str, Any]) -> GenerationConfig:
        """These settings with others in their place; GenerationError for an unknown name, too.

        Args:
            settings: the others, by name.
        """
        if not isinstance(settings, Mapping):
            raise GenerationError(
                f"the settings are {shown(settings)}; give a dict of them by name"
            )
        if not settings:
            return self
        unknown = next((name for name in settings if name not in RULES), None)
        if unknown is not None:
            near = nearest_setting(unknown)
            raise GenerationError(f"there is no setting {shown(unknown)}; {near}")
        return dataclasses.replace(self, **settings)

    def resolved(self, package: GenerationConfig | None = None) -> EffectiveSettings:
        """What these settings come to in a package.

        Args:
            package: the package's own settings.
        """
        theirs = checked_config(package, {})
        found = {name: rule.default for name, rule in RULES.items()}
        for config in (theirs, self):
            given = {name: getattr(config, name) for name in RULES}
            found |= {name: value for name, value in given.items() if value is not None}
        drawn = any(rule.draws and getattr(self, name) is not None for name, rule in RULES.items())
        wanted = drawn or bool(theirs.do_sample) if self.do_sample is None else self.do_sample
        found["do_sample"] = wanted and found["temperature"] != 0
        return EffectiveSettings(**found)

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn at random, in a package that has no settings of its own."""
        return self.resolved().samples

    def __hash__(self) -> int:
        return hash(repr(self))  # a JSON schema is a dict


def checked_config(config: Any, settings: Mapping[str, Any]) -> GenerationConfig:
    """The argument `config` of a public function, with its keywords `settings` in it."""
    if config is not None and not isinstance(config, GenerationConfig):
        raise GenerationError(
            f"config is {shown(config)}; give a GenerationConfig, or settings as keywords, as in "
            "generate(prompt, temperature=0.8)"
        )
    return (config or GenerationConfig()).updated(settings)
