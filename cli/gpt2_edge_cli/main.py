"""The command `gpt2-edge`, from the shell's arguments to its exit status.

Importing this module costs next to nothing, and `main` has the signals in hand before it imports
much: a Ctrl-C while modules load ends the command in one line.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # the name that type checkers know; the module typing takes a while to load
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status.

    0: done. 1: `verify` found a difference. 2: an error, told in one line. 130, 143, 129: ended by
    Ctrl-C, SIGTERM, or SIGHUP (a terminal that was closed). SystemExit for --help and --version.

    arguments: those of the process where None is given. Only then are the process's own streams
    and signals seen to; signals that arrive while it ends are ignored.
    """
    try:
        from gpt2_edge_cli.signals import Signals

        with Signals(own_process=arguments is None) as signals:
            from gpt2_edge_cli.running import run

            return run(sys.argv[1:] if arguments is None else arguments, signals)
    except KeyboardInterrupt:
        from gpt2_edge_cli.streams import say

        say("interrupted")
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The parser that writes the command's own help, with its verbs."""
    from gpt2_edge_cli import registry as verbs

    return verbs.build_parser()
