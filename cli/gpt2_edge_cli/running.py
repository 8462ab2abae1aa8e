"""A run of the command: arguments are parsed, the verb runs, whatever it raises is one line."""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from gpt2_edge._version import __version__
from gpt2_edge.errors import GPT2EdgeError
from gpt2_edge.untrusted import one_line, printable
from gpt2_edge_cli import streams
from gpt2_edge_cli.arguments import require_package
from gpt2_edge_cli.parsing import HelpAskedError, UsageError
from gpt2_edge_cli.registry import build_parser, find_verb, load_verb
from gpt2_edge_cli.signals import Signals

EXIT_ERROR = 2
# How the system says that a library does not fit.
_NO_MEMORY = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")
_MULTIPLIES = "export"  # the verb that multiplies matrices in NumPy


def run(arguments: Sequence[str], signals: Signals) -> int:
    """The exit status of the command with these arguments; SystemExit(0) for help and version."""
    if signals.own_process:
        streams.hold_places()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show a character
    debug = "--debug" in arguments
    if signals.own_process and not debug:
        streams.mute_libraries()
    with warnings.catch_warnings():
        if not debug and not sys.warnoptions:
            # Libraries warn of what a user cannot change, and some of them reset the filters.
            warnings.simplefilter("ignore")
            warnings.showwarning = lambda *_, **__: None
        try:
            status = _dispatch(arguments, signals)
            streams.flush_output()
            return status
        except BaseException as error:
            return _status_of(error, signals, debug)


def _dispatch(arguments: Sequence[str], signals: Signals) -> int:
    if sys.stdout is None:
        raise UsageError(f"standard output is closed; to do without it: > {os.devnull}")
    if not arguments:
        sys.stdout.write(build_parser().format_help())
        return 0
    first, *others = arguments
    if first == "--debug" and others:
        return _dispatch([*others, first], signals)
    if first == "help":
        first, *others = [*others[:1], "--help"]
    if first in ("-h", "--help"):
        _print_and_end(build_parser().format_help())
    if first == "--version":
        _print_and_end(f"gpt2-edge {__version__}\n")
    name = find_verb(first)
    if signals.own_process and name != _MULTIPLIES:
        # Otherwise OpenBLAS begins its threads when NumPy is imported, for nothing.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    verb = load_verb(name)
    try:
        options = verb.parser.parse(others)
    except HelpAskedError:
        _print_and_end(verb.parser.format_help())
    if hasattr(options, "package"):
        require_package(options.package)
    signals.unwind()
    return verb.run(options)


def _print_and_end(text: str) -> NoReturn:
    sys.stdout.write(text)
    streams.flush_output()
    raise SystemExit(0)


def _status_of(error: BaseException, signals: Signals, debug: bool) -> int:
    """Tell `error` in one line; the exit status that goes with it."""
    try:
        streams.flush_output()
    except (OSError, ValueError):
        streams.drop_output()
    if signals.status is not None or isinstance(error, KeyboardInterrupt):
        _leave_undone()
    if signals.status is not None:  # whatever modules made of the exception on its way here
        if signals.status == 128 + signal.SIGINT:
            streams.say("interrupted")
        return signals.status
    if isinstance(error, KeyboardInterrupt):
        streams.say("interrupted")
        return 128 + signal.SIGINT
    if isinstance(error, BrokenPipeError):
        # The reader of our output went away (head, a pager): not an error of ours.
        streams.drop_output()
        return 0
    if isinstance(error, SystemExit):
        raise error
    if debug and not isinstance(error, UsageError):
        raise error
    if isinstance(error, UsageError) and error.verb:
        streams.note(f"gpt2-edge {error.verb}: {error}")
    else:
        streams.say(_line(error))
    return EXIT_ERROR


def _leave_undone() -> None:
    """Begin nothing in the background any more: the user wants an end."""
    later = sys.modules.get("gpt2_edge.graph.later")
    if later is not None:
        later.drop_all()


def _line(error: BaseException) -> str:
    if isinstance(error, GPT2EdgeError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for this"
    if isinstance(error, FileNotFoundError) and not _has_name(error):  # of os.getcwd alone
        return "the working directory is no more; change to another one"
    if isinstance(error, ImportError) and any(words in str(error) for words in _NO_MEMORY):
        return "there is not enough memory for this"
    if isinstance(error, OSError) and error.strerror:  # such as a full disk behind standard output
        where = f"{printable(os.fsdecode(error.filename))}: " if _has_name(error) else ""
        return one_line(where + error.strerror)
    # Not foreseen, so a bug of ours: still one line.
    what = one_line(f"{type(error).__name__}: {error}", 300)
    return f"internal error: {what} (--debug shows where)"


def _has_name(error: OSError) -> bool:
    return isinstance(error.filename, (str, bytes, os.PathLike))
