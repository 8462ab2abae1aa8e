"""The script for zsh, whose `_arguments` knows options and places by itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from gpt2_edge_cli.completing.offers import FILES, FOLDERS, Offer, VerbOffers

_FIRST = """#compdef gpt2-edge
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_gpt2_edge() {
    local context state line
    if (( CURRENT == 2 )); then
        local -a verbs=(
%(verbs)s
        )
        _describe verb verbs
        return
    fi
    local verb=$words[2]
    shift words
    (( CURRENT-- ))
    case $verb in
"""
# In a file among $fpath the file's own text is the function; elsewhere it is read once.
_LAST = """    esac
}
if [[ $funcstack[1] == _gpt2_edge ]]; then
    _gpt2_edge "$@"
else
    compdef _gpt2_edge gpt2-edge
fi
"""
# Behind an option a space has zsh say what belongs there. In a place, where options may stand too,
# that would keep it from completing these.
_ACTIONS = {FILES: "_files", FOLDERS: "_files -/", "": " "}
_NO_ACTION = "{:}"


def zsh_script(verbs: Iterable[VerbOffers]) -> str:
    """What zsh reads."""
    verbs = list(verbs)
    described = (" " * 12 + shlex.quote(f"{_plain(verb.name, ':')}:{verb.help}") for verb in verbs)
    parts = [_FIRST % {"verbs": "\n".join(described)}]
    for verb in verbs:
        specs = " \\\n            ".join(map(shlex.quote, _specs(verb)))
        parts.append(f"    {verb.name})\n        _arguments -s -S \\\n            {specs} ;;\n")
    return "".join(parts) + _LAST


def _specs(verb: VerbOffers) -> Iterator[str]:
    for option in verb.options:
        # Of two names of one option the other is offered no more.
        others = "" if option.many else f"({' '.join(option.names)})"
        for name in option.names:
            equals = "" if not option.takes else "=" if name.startswith("--") else "+"
            again = "*" if option.many else others
            told = _plain(option.help, "[]")
            yield f"{again}{name}{equals}[{told}]{_value(option) if option.takes else ''}"
    for place in verb.places:
        yield f"{'*' if place.many else ''}{_value(place)}"


def _value(offer: Offer) -> str:
    action = f"({' '.join(offer.values)})" if offer.values else _ACTIONS[offer.paths]
    if not offer.names and action == " ":
        action = _NO_ACTION
    return f":{_plain(offer.metavar, ':')}:{action}"


def _plain(text: str, signs: str) -> str:
    return "".join(f"\\{sign}" if sign in signs + "\\" else sign for sign in text)
