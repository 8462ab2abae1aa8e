"""gpt2-edge completion: a script that lets a shell complete verbs, options and their values."""

from __future__ import annotations

import argparse
from typing import Any

from gpt2_edge_cli.offering import offer
from gpt2_edge_cli.parsing import UsageError

SHELLS = ("bash", "zsh", "fish")

_EXAMPLES = """examples (the line belongs into the file that the shell reads when it starts):
  eval "$(gpt2-edge completion bash)"
  eval "$(gpt2-edge completion zsh)"
  gpt2-edge completion fish | source
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "completion",
        help="print a script that completes verbs and options",
        description="Print a script that lets a shell complete verbs, options, the values that an "
        "option is known to take, and file names.",
        epilog=_EXAMPLES,
    )
    offer(parser.add_argument("shell", metavar="SHELL", help=", ".join(SHELLS)), SHELLS)
    return parser


def run(options: argparse.Namespace) -> int:
    if options.shell not in SHELLS:
        raise UsageError(f"SHELL is one of {', '.join(SHELLS)}", "completion")
    from gpt2_edge_cli.completing.bash import bash_script
    from gpt2_edge_cli.completing.fish import fish_script
    from gpt2_edge_cli.completing.offers import all_offers
    from gpt2_edge_cli.completing.zsh import zsh_script

    write = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}[options.shell]
    print(write(all_offers()), end="")
    return 0
