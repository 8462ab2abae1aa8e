"""The script for bash, from 3.2 (macOS) on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gpt2_edge_cli.completing.offers import Offer, VerbOffers

# _gpt2_edge_takes says what is completed behind an option, or in a place by its number: `values`
# and some, `files`, `folders`, `nothing`; it says "" for an option without a value.
#
# bash cuts --recipe=int4 and KEY=VALUE in three (COMP_WORDBREAKS), so what stands behind = or : is
# a value. File names are left to bash's own completion, which knows quotes and spaces; where it
# cannot be called for once (no compopt, in 3.2), it is there whenever nothing else is offered.
_SCRIPT = """_gpt2_edge_takes() {
    case "$1 $2" in
%(takes)s
        *) takes= ;;
    esac
}
_gpt2_edge_options() {
    case "$1" in
%(options)s
    esac
}
_gpt2_edge() {
    local word="${COMP_WORDS[COMP_CWORD]}" verb="${COMP_WORDS[1]}"
    local takes= options= pending= behind= place=1 number=2 before
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '%(verbs)s' -- "$word"))
        return
    fi
    while [ "$number" -lt "$COMP_CWORD" ]; do
        before="${COMP_WORDS[number]}"
        number=$((number + 1))
        case "$before" in
            [=:]*) pending="${pending:-=}" ; continue ;;
        esac
        if [ -n "$pending" ]; then
            pending=
        elif [ -z "$behind" ] && [ "$before" = -- ]; then
            behind=1
        elif [ -z "$behind" ] && [ "${before#-}" != "$before" ] && [ "$before" != - ]; then
            _gpt2_edge_takes "$verb" "$before"
            [ -z "$takes" ] || pending="$before"
        else
            place=$((place + 1))
        fi
    done
    case "$word" in
        [=:]*) word= ; pending="${pending:-=}" ;;
    esac
    if [ -n "$pending" ]; then
        _gpt2_edge_takes "$verb" "$pending"
    elif [ -z "$behind" ] && [ "${word#-}" != "$word" ]; then
        _gpt2_edge_options "$verb"
        takes="values $options"
    else
        _gpt2_edge_takes "$verb" "$place"
    fi
    case "$takes" in
        values*) COMPREPLY=($(compgen -W "${takes#values }" -- "$word")) ;;
        files) compopt -o default 2>/dev/null ;;
        folders) compopt -o dirnames 2>/dev/null ;;
    esac
}
if type compopt >/dev/null 2>&1; then
    complete -F _gpt2_edge gpt2-edge
else
    complete -o default -F _gpt2_edge gpt2-edge
fi
"""


def bash_script(verbs: Iterable[VerbOffers]) -> str:
    """What bash reads."""
    verbs = list(verbs)
    names = " ".join(verb.name for verb in verbs)
    options = (f"        {verb.name}) options='{' '.join(_names(verb))}' ;;" for verb in verbs)
    takes = (line for verb in verbs for line in _takes(verb))
    return _SCRIPT % {"verbs": names, "options": "\n".join(options), "takes": "\n".join(takes)}


def _names(verb: VerbOffers) -> Iterator[str]:
    for option in verb.options:
        yield from option.names


def _takes(verb: VerbOffers) -> Iterator[str]:
    for option in verb.options:
        if option.takes:
            patterns = " | ".join(f"'{verb.name} {name}'" for name in option.names)
            yield f"        {patterns}) takes='{_what(option)}' ;;"
    for number, place in enumerate(verb.places, 1):
        yield f"        '{verb.name} {number}') takes='{_what(place)}' ;;"


def _what(offer: Offer) -> str:
    return f"values {' '.join(offer.values)}" if offer.values else offer.paths or "nothing"
