"""Parsing a verb's arguments: options may stand anywhere, and a mistake is told in one line.

argparse fills an optional TEXT with nothing as soon as it has seen PACKAGE and an option, takes a
text that begins with a dash for options, and answers a mistake with a page. So the arguments are
split here, by what the verb's own options are, and argparse is given nothing but the options.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from gpt2_edge.errors import GPT2EdgeError
from gpt2_edge.untrusted import printable, shown

_SHOWN = 40  # characters of an argument in a message

# What other tools call it.
_OTHER_NAMES = {
    "--length": "--max-new-tokens",
    "--max-length": "--max-new-tokens",
    "--n-predict": "--max-new-tokens",
    "--num-tokens": "--max-new-tokens",
    "--predict": "--max-new-tokens",
    "--context-shift": "--slide",
    "--reverse-prompt": "--stop",
    "--device": "--provider",
    "--execution-provider": "--provider",
    "--out": "--output",
    "--outfile": "--output",
    "--precision": "--recipe",
    "--quantize": "--recipe",
}


class UsageError(GPT2EdgeError):
    """The arguments are wrong; `verb` is the one they were given to, None for the command."""

    def __init__(self, message: str, verb: str | None = None) -> None:
        super().__init__(message)
        self.verb = verb


class HelpAskedError(Exception):
    """-h or --help stood among the arguments."""


@dataclass(frozen=True)
class _Place:
    """A positional argument; several: all that are left, as a list."""

    dest: str
    name: str
    convert: Callable[[str], Any]
    required: bool
    several: bool


class VerbParser(argparse.ArgumentParser):
    """The parser of one verb. A positional argument is one string, or at most one ("?"); the last
    may be any number of them ("*").
    """

    def __init__(self, verb: str, **settings: Any) -> None:
        super().__init__(
            prog=f"gpt2-edge {verb}",
            allow_abbrev=False,
            **{"formatter_class": argparse.RawDescriptionHelpFormatter} | settings,
        )
        self.verb = verb
        self.register("type", int, whole_number)
        self.register("type", float, number)
        self._places: list[_Place] = []

    def complete(self) -> VerbParser:
        """Call it once all arguments are there. From then on argparse asks for no positionals."""
        for action in self._actions:
            if action.option_strings:
                continue
            convert = action.type if callable(action.type) else str
            several = action.nargs == "*"
            self._places.append(
                _Place(action.dest, str(action.metavar), convert, action.nargs is None, several)
            )
            action.nargs, action.required = "?", False
        names = (place.name if place.required else f"[{place.name}]" for place in self._places)
        self.usage = " ".join([self.prog, "[OPTIONS]", *names])
        return self

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The namespace of `arguments`; raises HelpAskedError, and UsageError for a mistake."""
        options, values, before = self._split(arguments)
        self._check_count(values, before)
        namespace = self.parse_args(options)
        for number, place in enumerate(self._places):
            if place.several:
                setattr(namespace, place.dest, list(map(place.convert, values[number:])))
            elif number < len(values):
                setattr(namespace, place.dest, place.convert(values[number]))
        return namespace

    def error(self, message: str) -> NoReturn:
        raise UsageError(_plain(message), self.verb)

    def keep_old_name(self, action: argparse.Action, old: str) -> None:
        """Take `old`, an earlier version's name of the option `action`, which no help shows."""
        self._option_string_actions[old] = action

    @property
    def option_names(self) -> list[str]:
        """All options, as they are typed; without old names."""
        return [name for action in self._actions for name in action.option_strings]

    def arguments(self) -> Iterator[tuple[argparse.Action, bool]]:
        """Each option and each place, and whether it may be given several times."""
        several = {place.dest for place in self._places if place.several}
        for action in self._actions:
            repeats = isinstance(action, argparse._AppendAction)
            yield action, repeats or action.dest in several

    @property
    def _takes_text(self) -> bool:
        return any(place.name.startswith("TEXT") for place in self._places)

    def _split(self, arguments: Sequence[str]) -> tuple[list[str], list[str], int]:
        """The options, each with its value as one string, and the values of the places, of which
        so many stand before a lone --.
        """
        options: list[str] = []
        values: list[str] = []
        behind: list[str] = []
        rest = iter(arguments)
        for argument in rest:
            if argument == "--":
                behind.extend(rest)
                break
            name, value = self._option(argument)
            if name is None:
                if self._is_mistaken(argument, values):
                    self._refuse(argument, values)
                values.append(argument)
            elif name in ("-h", "--help"):
                raise HelpAskedError
            elif self._option_string_actions[name].nargs == 0:
                if value is not None:
                    self.error(f"{name} takes no value, so not {shown(value, _SHOWN)}")
                options.append(name)
            else:
                value = self._value(name, rest) if value is None else value
                if value == "--":  # argparse would drop it
                    self.error(f"{name} cannot be --")
                options.append(f"{name}={value}")
        return options, values + behind, len(values)

    def _option(self, argument: str) -> tuple[str | None, str | None]:
        """The name of an option, with the value that is part of the argument; or two None."""
        known = self._option_string_actions
        if argument in known:
            return argument, None
        name, equals, value = argument.partition("=")
        if equals and name in known:
            return name, value
        short, value = argument[:2], argument[2:]
        if short != "--" and short in known and known[short].nargs != 0:  # -n5, -oFOLDER
            counts = known[short].type is int
            if re.match(r"[-+]?\d", value) if counts else not self._takes_text:
                return short, value
        return None, None

    def _value(self, name: str, rest: Any) -> str:
        value = next(rest, None)
        if value is None:
            self.error(f"{name} needs a value behind it")
        if value == "--" or value in self._option_string_actions:
            self.error(f"{name} needs a value behind it, and {value} means something else there")
        return str(value)

    def _is_mistaken(self, argument: str, values: list[str]) -> bool:
        """Whether this, which is no option, was meant to be one: a text may begin with a dash."""
        if not argument.startswith("-") or argument == "-":
            return False
        if not (self._takes_text and values):
            return True  # a folder that is called so can be given behind --
        name = argument.partition("=")[0]
        return (
            re.fullmatch(r"--[A-Za-z][\w-]*|-[A-Za-z]", name) is not None
            or f"-{name}" in self._option_string_actions
        )

    def _refuse(self, argument: str, values: list[str]) -> NoReturn:
        name = argument.partition("=")[0]
        nearest = self._nearest(name)
        advice = f"{self.prog} --help lists the options"
        if nearest:
            advice = f"did you mean {' or '.join(nearest)}?"
        if self._takes_text and values:
            advice += " (a text that begins with a dash: behind --)"
        self.error(f"there is no option {shown(name, _SHOWN)}; {advice}")

    def _nearest(self, name: str) -> list[str]:
        """The options that `name` may stand for, nearest first."""
        options = [option for option in self.option_names if option.startswith("--")]
        name = name.lower().replace("_", "-")
        for other in (name, f"-{name}", _OTHER_NAMES.get(name)):
            if other in options:
                return [other]
        if len(name) == 2:
            return [option for option in options if option[2] == name[1]][:3]
        begun = [option for option in options if option.startswith(name)]
        return begun[:3] or difflib.get_close_matches(name, options, n=1)

    def _check_count(self, values: list[str], before: int) -> None:
        missing = [place.name for place in self._places[len(values) :] if place.required]
        if missing:
            self.error(f"{missing[0]} is missing: {self.usage}")
        single = [place for place in self._places if not place.several]
        if len(values) <= len(single):
            return
        if not self._takes_text:
            last = shown(values[len(self._places)], _SHOWN)
            self.error(f"{last} is one argument too many: {self.usage}")
        first = len(single) - 1
        for value in values[first:before]:
            if re.match(r"-[A-Za-z]", value):
                self._refuse(value, [])
        if len(single) < len(self._places):
            return
        text = printable(" ".join(value[:_SHOWN] for value in values[first:][:_SHOWN]))
        text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        self.error(f'a text of several words stands in quotes: {self.prog} PACKAGE "{text}"')


def whole_number(text: str) -> int:
    """The type of options that take an integer."""
    try:
        return int(text)
    except ValueError:  # thousands of digits, too
        kind = "a smaller number" if text.isdigit() else "a whole number"
        raise argparse.ArgumentTypeError(f"takes {kind}, not {shown(text, _SHOWN)}") from None


def number(text: str) -> float:
    """The type of options that take a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number, not {shown(text, _SHOWN)}") from None


def _plain(message: str) -> str:
    """A message of argparse as we would say it."""
    named = re.fullmatch(r"argument ([^:]+): (.*)", message, re.DOTALL)
    if named:
        name, what = named.groups()
        other = what.removeprefix("not allowed with argument ")
        return f"{name} {what}" if other == what else f"{name} does not go with {other}"
    missing = message.removeprefix("the following arguments are required: ")
    return message if missing == message else f"{missing} is missing"
