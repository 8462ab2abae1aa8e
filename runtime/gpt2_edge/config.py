"""What a caller can ask of a generation, and what a package asks for where the caller does not."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import UnreadableError, read_json_object, shown
from gpt2_edge.values import real_number, truth_value, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

GENERATION_CONFIG_FILE = "generation_config.json"
# What such a file may set; its other settings do not count.
PACKAGE_SETTINGS = ("max_new_tokens", "do_sample", "temperature", "top_k", "top_p")


class Settings(TypedDict, total=False):
    """The fields of GenerationConfig as keywords, as in `generator.generate(text, top_k=40)`."""

    max_new_tokens: int | None
    do_sample: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    seed: int | None
    stop_strings: Sequence[str] | None
    ignore_eos: bool
    context_overflow: str
    logprobs: bool


@dataclass(frozen=True)
class EffectiveSettings:
    """What is done in the end; the fields are GenerationConfig's, none of them left open.

    samples: whether tokens are drawn at random; if not, the others but max_new_tokens do not count.
    """

    max_new_tokens: int = 128
    samples: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0


_DEFAULTS = EffectiveSettings()


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of one generation.

    The first five are transformers', in name and meaning. None leaves them to the package's
    generation_config.json, and what that does not say to the defaults given here.

    max_new_tokens: how many tokens to write at most (128).
    do_sample: draw from the distribution; False takes the most likely token (greedy). None samples
        exactly if temperature, top_k, top_p or seed is given here, or the package says do_sample.
    temperature: divides the logits (1); 0 is greedy.
    top_k: keep the k most likely tokens (50); 0 keeps all.
    top_p: of those, keep the smallest set whose probability reaches top_p (1); 0 keeps the most
        likely token only.

    seed: of the random generator; None takes a fresh one, which the result reports.
    stop_strings: end before the first of these strings (one, or several in a list or tuple); it is
        not part of the text.
    ignore_eos: go on past the end-of-text token.
    context_overflow: once the context is full, "stop" ends with finish_reason "length"; "slide"
        forgets the older half of the window and goes on.
    logprobs: report the log-probability of each token (natural logarithm, over the whole
        vocabulary, before temperature).

    NumPy's numbers are taken as Python's. Raises GenerationError for a value of another type, or
    out of range.
    """

    max_new_tokens: int | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop_strings: tuple[str, ...] = ()
    ignore_eos: bool = False
    context_overflow: str = "stop"
    logprobs: bool = False

    def __post_init__(self) -> None:
        self._check("max_new_tokens", whole_number, "a whole number, at least 1", lambda n: n >= 1)
        self._check("do_sample", truth_value, "True or False")
        self._check(
            "temperature",
            real_number,
            "a number, 0 (greedy) or more",
            lambda t: math.isfinite(t) and t >= 0,
        )
        self._check("top_k", whole_number, "a whole number, 0 (off) or more", lambda k: k >= 0)
        self._check("top_p", real_number, "a number from 0 to 1", lambda p: 0 <= p <= 1)
        self._check("seed", whole_number, "a whole number")
        self._check("stop_strings", _strings, "a string or a list of strings, none of them empty")
        self._check("ignore_eos", truth_value, "True or False", optional=False)
        self._check("context_overflow", _overflow, "'stop' or 'slide'", optional=False)
        self._check("logprobs", truth_value, "True or False", optional=False)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> GenerationConfig:
        """The settings in generation_config.json of the package or Hugging Face folder `path`.

        Taken are max_new_tokens, do_sample, temperature, top_k and top_p, as transformers
        understands them: without do_sample, the others do not make it sample. Raises
        GenerationError if there is no such file, or for a value that no GenerationConfig takes.
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
        """The same of what such a file contains."""
        given = {name: raw[name] for name in PACKAGE_SETTINGS if raw.get(name) is not None}
        if given.keys() & {"temperature", "top_k", "top_p"}:
            given.setdefault("do_sample", False)
        return cls(**given)

    def updated(self, settings: Mapping[str, Any]) -> GenerationConfig:
        """These settings with those of `settings` in their place.

        Raises GenerationError for a name that is none of a setting, too.
        """
        if not settings:
            return self
        names = [entry.name for entry in dataclasses.fields(self)]
        unknown = next((name for name in settings if name not in names), None)
        if unknown is not None:
            near = difflib.get_close_matches(unknown, names, n=1)
            advice = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(names)}"
            raise GenerationError(f"there is no setting {shown(unknown)}; {advice}")
        return dataclasses.replace(self, **settings)

    def resolved(self, defaults: GenerationConfig | None = None) -> EffectiveSettings:
        """What these settings come to in a package whose own are `defaults`."""
        package = defaults or GenerationConfig()
        temperature = _first(self.temperature, package.temperature, _DEFAULTS.temperature)
        given = (self.temperature, self.top_k, self.top_p, self.seed)
        samples = any(value is not None for value in given) or bool(package.do_sample)
        return EffectiveSettings(
            max_new_tokens=_first(
                self.max_new_tokens, package.max_new_tokens, _DEFAULTS.max_new_tokens
            ),
            samples=temperature > 0 and _first(self.do_sample, None, samples),
            temperature=temperature,
            top_k=_first(self.top_k, package.top_k, _DEFAULTS.top_k),
            top_p=_first(self.top_p, package.top_p, _DEFAULTS.top_p),
        )

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn at random, in a package that has no settings of its own."""
        return self.resolved().samples

    def _check(
        self,
        name: str,
        convert: Callable[[Any], Any],
        expected: str,
        fine: Callable[[Any], bool] = lambda value: True,
        optional: bool = True,
    ) -> None:
        """Put the field in its plain form, or raise GenerationError."""
        given = getattr(self, name)
        if given is None and optional and name != "stop_strings":
            return
        value = convert(given)
        if value is None or not fine(value):
            raise GenerationError(f"{name} is {shown(given)}; it must be {expected}")
        object.__setattr__(self, name, value)


def checked_config(config: Any, settings: Mapping[str, Any]) -> GenerationConfig:
    """The argument `config` of a public function, with its keywords `settings` in it."""
    if config is not None and not isinstance(config, GenerationConfig):
        raise GenerationError(
            f"config is {shown(config)}; give a GenerationConfig, or settings as keywords, as in "
            "generate(prompt, temperature=0.8)"
        )
    return (config or GenerationConfig()).updated(settings)


def _first(mine: Any, other: Any, default: Any) -> Any:
    """The first that is set."""
    return mine if mine is not None else other if other is not None else default


def _strings(value: Any) -> tuple[str, ...] | None:
    strings = () if value is None else (value,) if isinstance(value, str) else value
    if not isinstance(strings, (list, tuple)):
        return None
    fine = all(isinstance(string, str) and string for string in strings)
    return tuple(strings) if fine else None


def _overflow(value: Any) -> str | None:
    return value if isinstance(value, str) and value in ("stop", "slide") else None
