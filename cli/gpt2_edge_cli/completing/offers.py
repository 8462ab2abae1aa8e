"""What stands to be completed: each verb's options and places, as its parser has them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gpt2_edge_cli.offering import offered
from gpt2_edge_cli.registry import VERBS, load_verb

FILES, FOLDERS = "files", "folders"
# By what stands for the value in the help.
_PATHS = {
    "CHECKPOINT": FILES,  # a folder, or a .pt file
    "FILE": FILES,
    "FOLDER": FOLDERS,
    "PACKAGE": FOLDERS,
    "PATH": FILES,
}


@dataclass(frozen=True)
class Offer:
    """An option with its names, or a place without any.

    paths: FILES, FOLDERS or "" for neither. takes: whether a value belongs to it. many: whether it
    may be given again.
    """

    names: tuple[str, ...]
    help: str
    metavar: str
    values: tuple[str, ...]
    paths: str
    takes: bool
    many: bool


@dataclass(frozen=True)
class VerbOffers:
    """A verb with all that may stand behind it; the places in their order."""

    name: str
    help: str
    options: tuple[Offer, ...]
    places: tuple[Offer, ...]


def all_offers() -> Iterator[VerbOffers]:
    """The verbs, in the order of the command's help."""
    for name in VERBS:
        verb = load_verb(name)
        offers = [_offer(action, several) for action, several in verb.parser.arguments()]
        options = tuple(offer for offer in offers if offer.names)
        places = tuple(offer for offer in offers if not offer.names)
        yield VerbOffers(name, verb.help, options, places)


def _offer(action: argparse.Action, several: bool) -> Offer:
    metavar = action.metavar if isinstance(action.metavar, str) else "VALUE"
    values = offered(action)
    for value in values:
        # They stand in scripts as they are.
        assert re.fullmatch(r"[\w.-]+", value), value
    return Offer(
        names=tuple(action.option_strings),
        help=" ".join((action.help or "").split()),
        metavar=metavar,
        values=values,
        paths=_PATHS.get(metavar, ""),
        takes=action.nargs != 0,
        many=several,
    )
