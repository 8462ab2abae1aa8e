"""What each setting of a generation may be: the rules behind GenerationConfig.

spec/settings.json holds the same for every runtime: name, type, range, default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gpt2_edge.values import real_number, truth_value, whole_number

_MOST_DIGITS = 20  # of a token id as text


@dataclass(frozen=True)
class Rule:
    """One setting: `take` makes a value plain, or gives None for one that is not allowed.

    default: where neither caller nor package says otherwise. package: a package's
    generation_config.json may set it; those that every runtime has (the browser's and Kotlin's,
    too), so that a package writes the same everywhere. draws: who sets it wants tokens drawn.
    null: what null stands for in such a file, where that is not the default.
    """

    take: Callable[[Any], Any]
    expected: str
    default: Any
    package: bool = False
    draws: bool = False
    null: Any = None


def _whole(least: int | None = None) -> Callable[[Any], int | None]:
    def take(value: Any) -> int | None:
        number = whole_number(value)
        return number if number is not None and (least is None or number >= least) else None

    return take


def _real(fine: Callable[[float], bool] = math.isfinite) -> Callable[[Any], float | None]:
    def take(value: Any) -> float | None:
        number = real_number(value)
        return number if number is not None and fine(number) else None

    return take


def _share(value: Any) -> float | None:
    return _real(lambda p: 0 <= p <= 1)(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: Any) -> tuple[str, ...] | None:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(t, str) and t for t in texts):
        return None
    return tuple(texts)


def _ids(value: Any) -> tuple[int, ...] | None:
    """Token ids, a lone one too."""
    lone = whole_number(value)
    items = (lone,) if lone is not None else _list(value)
    numbers = None if items is None else [_whole(0)(item) for item in items]
    return None if numbers is None or None in numbers else tuple(numbers)  # type: ignore[arg-type]


def _words(value: Any) -> tuple[tuple[int, ...], ...] | None:
    """Sequences of token ids, none of them empty."""
    words = [_ids(_list(item)) for item in _list(value) or ()]
    if _list(value) is None or not all(words):
        return None
    return tuple(words)  # type: ignore[arg-type]


def _biases(value: Any) -> tuple[tuple[tuple[int, ...], float], ...] | None:
    """Biases of token ids or of sequences of them; a mapping, or a list of pairs as in JSON."""
    pairs = value.items() if isinstance(value, Mapping) else _list(value)
    found = []
    for pair in pairs if pairs is not None else (None,):
        parts = _list(pair)
        if parts is None or len(parts) != 2:
            return None
        key = int(parts[0]) if _is_id_text(parts[0]) else parts[0]
        tokens, bias = _ids(key), _real(lambda b: not math.isnan(b) and b < math.inf)(parts[1])
        if not tokens or bias is None:
            return None
        found.append((tokens, bias))
    return tuple(found)


def _is_id_text(value: Any) -> bool:
    """Whether `value` is a token id as a key of JSON; Python's own int refuses long ones."""
    return isinstance(value, str) and value.isdecimal() and len(value) <= _MOST_DIGITS


def _early(value: Any) -> bool | str | None:
    return "never" if isinstance(value, str) and value == "never" else truth_value(value)


def _overflow(value: Any) -> str | None:
    return value if isinstance(value, str) and value in ("stop", "slide") else None


def _list(value: Any) -> list[Any] | None:
    """What a list, tuple or NumPy array holds; None for anything else."""
    if isinstance(value, (list, tuple)):
        return list(value)
    kind = type(value)
    if (kind.__module__, kind.__name__) == ("numpy", "ndarray") and value.ndim:
        return list(value)
    return None


_POSITIVE = _real(lambda x: 0 < x < math.inf)
_NOT_NEGATIVE = _real(lambda x: 0 <= x < math.inf)
_TOKENS = "token ids"

RULES: dict[str, Rule] = {
    "max_new_tokens": Rule(_whole(1), "a whole number, at least 1", 128, True),
    "min_new_tokens": Rule(_whole(0), "a whole number, 0 or more", 0, package=True),
    "do_sample": Rule(truth_value, "True or False", None, True),
    "temperature": Rule(_NOT_NEGATIVE, "a number, 0 (greedy) or more", 1.0, True, True),
    "top_k": Rule(_whole(0), "a whole number, 0 (off) or more", 50, True, True, null=0),
    "top_p": Rule(_share, "a number from 0 to 1", 1.0, True, True),
    "min_p": Rule(_share, "a number from 0 to 1", 0.0, package=True, draws=True),
    "typical_p": Rule(
        _real(lambda p: 0 < p <= 1), "a number above 0, at most 1", 1.0, package=True, draws=True
    ),
    "seed": Rule(_whole(), "a whole number", None, draws=True),
    "repetition_penalty": Rule(_POSITIVE, "a number above 0", 1.0, package=True),
    "presence_penalty": Rule(_real(), "a number", 0.0, package=True),
    "frequency_penalty": Rule(_real(), "a number", 0.0, package=True),
    "no_repeat_ngram_size": Rule(_whole(0), "a whole number, 0 (off) or more", 0, package=True),
    "bad_words_ids": Rule(_words, f"a list of lists of {_TOKENS}", (), package=True),
    "sequence_bias": Rule(
        _biases, f"a bias (not infinity) for each tuple of {_TOKENS}", (), package=True
    ),
    "logit_bias": Rule(_biases, "a bias (not infinity) for each token id", (), package=True),
    "suppress_tokens": Rule(_ids, f"a list of {_TOKENS}", (), package=True),
    "begin_suppress_tokens": Rule(_ids, f"a list of {_TOKENS}", (), package=True),
    "eos_token_id": Rule(_ids, f"a token id or a list of {_TOKENS}", None),
    "ignore_eos": Rule(truth_value, "True or False", False),
    "stop_strings": Rule(_texts, "a string or a list of strings, none of them empty", ()),
    "include_stop_str": Rule(truth_value, "True or False", False),
    "max_time": Rule(_POSITIVE, "seconds, above 0", None, package=True),
    "num_beams": Rule(_whole(1), "a whole number, at least 1", 1),
    "length_penalty": Rule(_real(), "a number", 1.0),
    "early_stopping": Rule(_early, "True, False or 'never'", False),
    "num_return_sequences": Rule(_whole(1), "a whole number, at least 1", 1),
    "prompt_lookup_num_tokens": Rule(_whole(0), "a whole number, 0 (off) or more", 0),
    "context_overflow": Rule(_overflow, "'stop' or 'slide'", "stop"),
    "keep": Rule(_whole(0), "a whole number, 0 or more", 0),
    "logprobs": Rule(truth_value, "True or False", False),
    "top_logprobs": Rule(_whole(0), "a whole number, 0 or more", 0),
    "regex": Rule(_text, "a regular expression", None),
    "json_schema": Rule(
        lambda v: v if isinstance(v, (str, dict)) and v else None,
        "a JSON schema, as a dict or as text",
        None,
    ),
    "choices": Rule(_texts, "a list of strings, none of them empty", ()),
    "lark": Rule(_text, "a grammar in Lark's notation", None),
}


def nearest_setting(name: object) -> str:
    """What a name that no setting has may have been meant to be, for a message."""
    import difflib  # only for a mistake

    near = difflib.get_close_matches(name, RULES, n=1) if isinstance(name, str) else []
    return f"did you mean {near[0]}?" if near else f"the settings are {', '.join(RULES)}"


def package_settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a package's generation_config.json with the content `raw` sets; nothing is checked."""
    found = {
        name: rule.null if raw[name] is None else raw[name]
        for name, rule in RULES.items()
        if rule.package and name in raw
    }
    return {name: value for name, value in found.items() if value is not None}
