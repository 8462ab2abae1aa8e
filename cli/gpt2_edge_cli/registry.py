"""The verbs of the command: where each one lives, and how a mistyped one is answered."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpt2_edge._version import __version__
from gpt2_edge.untrusted import shown
from gpt2_edge_cli.parsing import UsageError, VerbParser

# Verb -> module with its add_parser and run. Modules import nothing heavy before they run.
_MODULES = {
    "export": "gpt2_edge_cli.verbs.export",
    "generate": "gpt2_edge_cli.verbs.generate",
    "chat": "gpt2_edge_cli.verbs.chat",
    "next": "gpt2_edge_cli.verbs.next_words",
    "attend": "gpt2_edge_cli.verbs.attend",
    "tokenize": "gpt2_edge_cli.verbs.tokenize",
    "score": "gpt2_edge_cli.verbs.score",
    "serve": "gpt2_edge_cli.verbs.serve",
    "eval": "gpt2_edge_cli.verbs.eval",
    "info": "gpt2_edge_cli.verbs.info",
    "verify": "gpt2_edge_cli.verbs.verify",
    "optimize": "gpt2_edge_cli.verbs.optimize",
    "bench": "gpt2_edge_cli.verbs.bench",
    "check-mobile": "gpt2_edge_cli.verbs.check_mobile",
    "completion": "gpt2_edge_cli.verbs.completion",
}
VERBS = tuple(_MODULES)

# What other tools call it.
_OTHER_NAMES = {
    "attention": "attend",
    "benchmark": "bench",
    "cache": "optimize",
    "check": "verify",
    "complete": "generate",
    "conversation": "chat",
    "convert": "export",
    "count": "tokenize",
    "decode": "tokenize",
    "describe": "info",
    "encode": "tokenize",
    "evaluate": "eval",
    "interactive": "chat",
    "perplexity": "score",
    "predict": "next",
    "quantize": "export",
    "run": "generate",
    "server": "serve",
    "show": "info",
    "talk": "chat",
    "tokens": "tokenize",
    "weights": "attend",
}

_EPILOG = """gpt2-edge VERB --help describes a verb. Options may stand anywhere behind it.

examples:
  gpt2-edge export gpt2 -o gpt2-int4                 a hub name or a folder -> a package
  gpt2-edge generate gpt2-int4 "In a shocking finding" --top-k 40
  echo "Once upon a time" | gpt2-edge generate gpt2-int4
  gpt2-edge chat gpt2-int4                           turn by turn
  gpt2-edge next gpt2-int4 "What do you"             the likeliest next words
  gpt2-edge attend gpt2-int4 --word it               what "it" attends to
  gpt2-edge score gpt2-int4 --file held-out.txt      its perplexity
  gpt2-edge serve gpt2-int4                          OpenAI's endpoints, and a page
  gpt2-edge verify gpt2-int4                         hashes and self-test

exit status:
  0    done
  1    verify found that the package computes something else
  2    an error, told in one line
  129, 130, 143   ended by a closed terminal, Ctrl-C, SIGTERM
"""


@dataclass(frozen=True)
class Verb:
    """A verb with its parser and what runs it."""

    parser: VerbParser
    help: str
    run: Callable[[argparse.Namespace], int]


class _Verbs:
    """Stands where the modules' `add_parser` expects argparse's subparsers."""

    def __init__(self) -> None:
        self.help = ""

    def add_parser(self, name: str, *, help: str, **settings: Any) -> VerbParser:  # noqa: A002
        self.help = help
        return VerbParser(name, **settings)


def load_verb(name: str) -> Verb:
    """Import the verb's module and build its parser."""
    module = importlib.import_module(_MODULES[name])
    verbs = _Verbs()
    parser: VerbParser = module.add_parser(verbs)
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return Verb(parser.complete(), verbs.help, module.run)


def find_verb(name: str) -> str:
    """`name`, if it is a verb; UsageError with the nearest one otherwise."""
    if name in _MODULES:
        return name
    if name.startswith("-") and name != "-":
        raise UsageError(f"the verb comes first: gpt2-edge VERB, and options such as {shown(name)} "
                         "behind it; gpt2-edge --help lists the verbs")  # fmt: skip
    word = name.lower()
    begun = [verb for verb in VERBS if len(word) > 1 and verb.startswith(word)]
    nearest = [_OTHER_NAMES[word]] if word in _OTHER_NAMES else begun
    nearest = nearest or difflib.get_close_matches(word, VERBS, n=1, cutoff=0.5)
    if nearest:
        raise UsageError(f"there is no verb {shown(name)}; did you mean {' or '.join(nearest)}?")
    if os.path.isdir(name):  # noqa: PTH112 - False for every odd name, where Path may raise
        raise UsageError(f"{shown(name)} is a folder; the verb comes first: gpt2-edge generate "
                         "PACKAGE TEXT")  # fmt: skip
    raise UsageError(f"there is no verb {shown(name)}; the verbs are {', '.join(VERBS)}")


def build_parser() -> argparse.ArgumentParser:
    """The parser that writes the command's own help, with its verbs."""
    parser = argparse.ArgumentParser(
        prog="gpt2-edge",
        usage="gpt2-edge VERB [OPTIONS] ...",
        description="Put a GPT-2 on a device: export it, run it, check it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gpt2-edge {__version__}")
    verbs = parser.add_subparsers(title="verbs", dest="verb", required=True, metavar="VERB")
    for name in VERBS:
        verbs.add_parser(name, help=load_verb(name).help)
    return parser
