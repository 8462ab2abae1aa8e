"""An option for each setting of a generation: names as GenerationConfig's, with dashes."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import printable
from gpt2_edge_cli import setting_values as values
from gpt2_edge_cli.offering import offer
from gpt2_edge_cli.parsing import number, whole_number

# A column for the options that holds the longest, so that each has one line.
one_line_help = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=33)

IDS_NOTE = """IDS are token ids (464,3290); lists may be given as JSON, or option by option."""


@dataclass(frozen=True)
class SettingOption:
    """How one setting is given. take: its value from a string; many: values are put together."""

    take: Callable[[str], Any]
    metavar: str
    help: str
    many: bool = False
    names: tuple[str, ...] = ()  # beside --its-name
    values: tuple[str, ...] = ()  # that a shell completes


_FLAG, _WHOLE, _REAL = values.truth, whole_number, number
_Options = dict[str, SettingOption]

_CHOSEN: _Options = {
    "do_sample": SettingOption(_FLAG, "", "draw tokens by their probabilities"),
    "temperature": SettingOption(_REAL, "T", "above 1 wilder, below 1 tamer; 0: greedy"),
    "top_k": SettingOption(_WHOLE, "K", "draw from the K likeliest; 0: all (else 50)"),
    "top_p": SettingOption(_REAL, "P", "keep the likeliest that together reach P"),
    "min_p": SettingOption(_REAL, "P", "keep those P times as likely as the first"),
    "typical_p": SettingOption(_REAL, "P", "keep the most typical that reach P"),
    "seed": SettingOption(_WHOLE, "N", "the same seed draws the same text"),
    "num_beams": SettingOption(_WHOLE, "N", "search N texts at once for the likeliest"),
    "length_penalty": SettingOption(_REAL, "X", "of beams: above 0 favours long texts"),
    "early_stopping": SettingOption(
        values.early, "WHEN", "of beams: true, false or never", values=("true", "false", "never")
    ),
}
_WRITTEN: _Options = {
    "repetition_penalty": SettingOption(_REAL, "X", "above 1: fewer repeated tokens (else 1)"),
    "presence_penalty": SettingOption(_REAL, "X", "subtract X for each token in the new text"),
    "frequency_penalty": SettingOption(_REAL, "X", "subtract X each time that it is there"),
    "no_repeat_ngram_size": SettingOption(_WHOLE, "N", "no N tokens twice; 0: off"),
    "bad_words_ids": SettingOption(
        values.words, "IDS", "never write these tokens in this order", True
    ),
    "sequence_bias": SettingOption(
        values.biases, "IDS=X", "add X where the last of these would follow", True
    ),
    "logit_bias": SettingOption(values.biases, "ID=X", "add X to the logit of this token", True),
    "suppress_tokens": SettingOption(values.ids, "IDS", "never write any of these", True),
    "begin_suppress_tokens": SettingOption(values.ids, "IDS", "do not begin with these", True),
    "regex": SettingOption(values.plain, "REGEX", "the text has to match it"),
    "json_schema": SettingOption(
        values.text_or_file, "JSON", "the text has to be such JSON; or @FILE"
    ),
    "choices": SettingOption(values.texts, "TEXT", "the text has to be one of these", True),
    "lark": SettingOption(values.text_or_file, "GRAMMAR", "the text has to match it; or @FILE"),
}
_ENDED: _Options = {
    "max_new_tokens": SettingOption(_WHOLE, "N", "N tokens at most (else 128)", names=("-n",)),
    "min_new_tokens": SettingOption(_WHOLE, "N", "N tokens at least"),
    "max_time": SettingOption(_REAL, "SECONDS", "end after so many seconds"),
    "eos_token_id": SettingOption(values.ids, "IDS", "tokens that end a text", True),
    "ignore_eos": SettingOption(_FLAG, "", "go on past the end-of-text token"),
    "stop_strings": SettingOption(
        values.texts, "TEXT", "end before TEXT; repeatable, or JSON", True
    ),
    "include_stop_str": SettingOption(_FLAG, "", "keep the stop string in the text"),
    "context_overflow": SettingOption(
        values.overflow,
        "WHAT",
        "when the context is full: stop or slide",
        values=("stop", "slide"),
    ),
    "keep": SettingOption(_WHOLE, "N", "when sliding, keep the first N tokens"),
}
_TOLD: _Options = {
    "num_return_sequences": SettingOption(_WHOLE, "N", "N texts per prompt"),
    "logprobs": SettingOption(_FLAG, "", "the log-probability of each token"),
    "top_logprobs": SettingOption(_WHOLE, "N", "and those of the N likeliest tokens"),
    "prompt_lookup_num_tokens": SettingOption(
        _WHOLE, "N", "guess up to N tokens from earlier text"
    ),
}
GROUPS = {
    "how tokens are chosen": _CHOSEN,
    "what may be written": _WRITTEN,
    "when a text ends": _ENDED,
    "what comes back, and how fast": _TOLD,
}
OPTIONS: _Options = {name: option for group in GROUPS.values() for name, option in group.items()}
# A chat writes one text per turn, and forgets whole turns where the context is full.
NOT_OF_A_CHAT = ("num_beams", "length_penalty", "early_stopping", "num_return_sequences",
                 "logprobs", "top_logprobs", "context_overflow", "keep")  # fmt: skip
CHAT_SETTINGS = tuple(name for name in OPTIONS if name not in NOT_OF_A_CHAT)


def add_settings(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> None:
    """An option for each setting but those in `without`; `given_settings` reads them."""
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for name, option in options.items():
            if name not in without:
                _add(group, name, option)


def _add(group: Any, name: str, option: SettingOption) -> None:
    flag = f"--{name.replace('_', '-')}"
    kept: dict[str, Any] = {"dest": name, "help": option.help}
    if name == "do_sample":
        group = group.add_mutually_exclusive_group()
        group.add_argument("--greedy", action="store_true", help="the likeliest token each time")
    if name == "context_overflow":
        group = group.add_mutually_exclusive_group()
        group.add_argument("--slide", action="store_true", help="full context: forget half and go "
                           "on")  # fmt: skip
    if option.take is values.truth:
        group.add_argument(flag, *option.names, action="store_true", **kept)
        return
    kept |= {"metavar": option.metavar, "type": _type(option.take)}
    kept |= {"action": "append"} if option.many else {}
    offer(group.add_argument(*option.names, flag, **kept), option.values)
    if name == "stop_strings":
        group.add_argument("--stop", action="append", default=[], metavar="TEXT",
                           help="the same, as it stands; \\n is a line")  # fmt: skip


def _type(take: Callable[[str], Any]) -> Callable[[str], Any]:
    """As VerbParser knows it: -n5 is taken apart where the type is int."""
    if take is _WHOLE:
        return int
    return float if take is _REAL else take


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What was given, by the settings' names, and nothing else: the package has its own.

    Raises GenerationError for a stop string that is not UTF-8.
    """
    found: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        value = getattr(options, name, None)
        if value is not None and value is not False:
            found[name] = _joined(value) if option.many else value
    if options.greedy:
        found["do_sample"] = False
    if getattr(options, "slide", False):
        found["context_overflow"] = "slide"
    if options.stop:
        found["stop_strings"] = [*map(_unescaped, options.stop), *found.get("stop_strings", ())]
    return found


def typed_setting(name: str, text: str) -> Any:
    """The value of the setting `name` as it was typed (of stop_strings as --stop takes them).

    Raises GenerationError.
    """
    try:
        value = OPTIONS[name].take(text)
    except argparse.ArgumentTypeError as error:
        raise GenerationError(f"{name} {error}") from error
    return list(map(_unescaped, value)) if name == "stop_strings" else value


def _joined(parts: Iterable[list[Any]]) -> list[Any]:
    return [item for part in parts for item in part]


def _unescaped(text: str) -> str:
    r"""`text` with \n and \t as the characters they stand for: shells make those hard to type."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise GenerationError(f"--stop is not UTF-8: {printable(text[:80])}") from error
    return text.replace("\\n", "\n").replace("\\t", "\t")
