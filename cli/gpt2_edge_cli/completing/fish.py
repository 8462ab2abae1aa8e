"""The script for fish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gpt2_edge_cli.completing.offers import FILES, FOLDERS, Offer, VerbOffers

# __gpt2_edge_at VERB [PLACE OPTION...]: whether VERB stands first, and the cursor in its place of
# this number; each OPTION has a value behind it, which takes no place.
_FUNCTIONS = """function __gpt2_edge_at
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test "$words[2]" = "$argv[1]"; or return 1
    test (count $argv) -gt 1; or return 0
    set -l place 1
    set -l pending 0
    set -l behind 0
    for word in $words[3..-1]
        if test $pending = 1
            set pending 0
        else if test $behind = 0; and test "$word" = --
            set behind 1
        else if test $behind = 0; and string match -q -- '-?*' "$word"
            contains -- "$word" $argv[3..-1]; and set pending 1
        else
            set place (math $place + 1)
        end
    end
    test $place = $argv[2]
end
function __gpt2_edge_verb_missing
    test (count (commandline -opc)) -eq 1
end
complete -c gpt2-edge -e
complete -c gpt2-edge -f
"""


def fish_script(verbs: Iterable[VerbOffers]) -> str:
    """What fish reads."""
    lines = [line for verb in verbs for line in _lines(verb)]
    return _FUNCTIONS + "\n".join(lines) + "\n"


def _lines(verb: VerbOffers) -> Iterator[str]:
    start = "complete -c gpt2-edge"
    yield f"{start} -n __gpt2_edge_verb_missing -a {verb.name} -d {_quoted(verb.help)}"
    taking = " ".join(name for each in verb.options if each.takes for name in each.names)
    for option in verb.options:
        names = " ".join(
            f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
        )
        value = ""
        if option.takes:
            value = (" -r" if option.paths == FILES else " -x") + _value(option)
        told = _quoted(option.help)
        yield f"{start} -n '__gpt2_edge_at {verb.name}' {names}{value} -d {told}"
    for number, place in enumerate(verb.places, 1):
        value = _value(place)
        if value:
            yield f"{start} -n '__gpt2_edge_at {verb.name} {number} {taking}'{value}"


def _value(offer: Offer) -> str:
    if offer.values:
        return f" -a {_quoted(' '.join(offer.values))}"
    return {FILES: " -F", FOLDERS: " -a '(__fish_complete_directories)'", "": ""}[offer.paths]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
