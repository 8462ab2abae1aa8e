"""The command `gpt2-edge`: one verb per module, each with its parser and its `run`."""

from __future__ import annotations

import argparse
import io
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from gpt2_edge._version import __version__
from gpt2_edge.errors import GPT2EdgeError

EXIT_ERROR = 2
EXIT_SIGINT = 130
EXIT_SIGTERM = 143

_EXAMPLES = """examples:
  gpt2-edge export gpt2 -o gpt2-int4                 a hub name or a folder -> a package
  gpt2-edge generate gpt2-int4 "In a shocking finding" --top-k 40
  echo "Once upon a time" | gpt2-edge generate gpt2-int4
  gpt2-edge next gpt2-int4 "What do you"             the likeliest next words
  gpt2-edge score gpt2-int4 --file held-out.txt      its perplexity
  gpt2-edge verify gpt2-int4                         hashes and self-test
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    # The verbs' modules import nothing heavy before they run, so --help is quick.
    from gpt2_edge.commands import bench, generate, info, next_words, score, verify
    from gpt2_edge.commands import eval as evaluate
    from gpt2_edge_export import cli as export
    from gpt2_edge_export import mobile_cli as mobile

    parser = argparse.ArgumentParser(
        prog="gpt2-edge",
        description="Put a GPT-2 on a device: export it, run it, check it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gpt2-edge {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs_in_order = (
        export, generate, next_words, score, evaluate, info, verify, bench, mobile
    )  # fmt: skip
    for module in verbs_in_order:
        verb = module.add_parser(verbs)
        verb.formatter_class = argparse.RawDescriptionHelpFormatter
        verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
        verb.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status. Errors meant for users are one line and status 2."""
    options = build_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show a character
    try:
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except GPT2EdgeError as error:
        if options.debug:
            raise
        print(f"gpt2-edge: {error}", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:
        # The reader of our output went away (head, a pager): not an error of ours. What is still
        # buffered has nowhere to go.
        sys.stdout = None
        return 0
    except OSError as error:  # such as a full disk behind standard output
        sys.stdout = None
        print(f"gpt2-edge: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("gpt2-edge: interrupted", file=sys.stderr)
        return EXIT_SIGINT


def _terminate(number: int, frame: FrameType | None) -> None:
    """End through the finally clauses, so that half-written packages are removed."""
    raise SystemExit(EXIT_SIGTERM)
