"""gpt2-edge completion: a script that lets a shell complete verbs, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from gpt2_edge_cli.parsing import UsageError

SHELLS = ("bash", "zsh", "fish")

_EXAMPLES = """examples (the line belongs into the file that the shell reads when it starts):
  eval "$(gpt2-edge completion bash)"
  eval "$(gpt2-edge completion zsh)"
  gpt2-edge completion fish | source
"""

_BASH = """_gpt2_edge() {
    local word="${COMP_WORDS[COMP_CWORD]}" options=
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "%(verbs)s" -- "$word"))
        return
    fi
    case "${COMP_WORDS[1]}" in
%(cases)s
    esac
    case "$word" in
        -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}
complete -o filenames -F _gpt2_edge gpt2-edge
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "completion",
        help="print a script that completes verbs and options",
        description="Print a script that lets a shell complete verbs, options and file names.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("shell", metavar="SHELL", help=", ".join(SHELLS))
    return parser


def run(options: argparse.Namespace) -> int:
    if options.shell not in SHELLS:
        raise UsageError(f"SHELL is one of {', '.join(SHELLS)}", "completion")
    if options.shell == "fish":
        print("\n".join(_fish()))
        return 0
    cases = "\n".join(
        f'        {verb}) options="{" ".join(names)}" ;;' for verb, names in _options()
    )
    script = _BASH % {"verbs": " ".join(verb for verb, _ in _options()), "cases": cases}
    print((_ZSH if options.shell == "zsh" else "") + script, end="")
    return 0


def _options() -> Iterator[tuple[str, list[str]]]:
    from gpt2_edge_cli.registry import VERBS, load_verb

    for verb in VERBS:
        yield verb, load_verb(verb).parser.option_names


def _fish() -> Iterator[str]:
    for verb, names in _options():
        yield f"complete -c gpt2-edge -n __fish_use_subcommand -f -a {verb}"
        seen = f"'__fish_seen_subcommand_from {verb}'"
        for name in names:
            kind = "-l" if name.startswith("--") else "-s"
            yield f"complete -c gpt2-edge -n {seen} {kind} {name.lstrip('-')}"
