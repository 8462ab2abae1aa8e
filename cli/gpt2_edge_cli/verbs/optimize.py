"""gpt2-edge optimize: what this machine keeps of packages is made, listed and cleared."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import GenerationError, PackageError
from gpt2_edge.untrusted import one_line
from gpt2_edge_cli import memory_bound, streams
from gpt2_edge_cli.arguments import require_package
from gpt2_edge_cli.signals import Loading

if TYPE_CHECKING:
    from gpt2_edge.files.machine_cache import MachineCache

_EXAMPLES = """Loading a package on the CPU, ONNX Runtime optimizes its graph and packs its weights
for this processor. The result is kept in a cache and mapped from there the next time, which loads
faster and takes less memory; the tokens are the same. It is made a moment after the first load of
a package of more than 16 MB, or now.

Of packages with matrices in 4 bits it makes here, and only here, 8-bit weights to read prompts
with, where that is faster on this machine. Prompts are then rounded otherwise than by the package
itself (--prompt-weights off). docs/PACKAGE.md says where the cache lies, who has to be trusted with
it, and what makes an entry stale.

GPT2_EDGE_CACHE=FOLDER names another folder; empty, it switches the cache off.

examples:
  gpt2-edge optimize PACKAGE           make it, or check it to the last byte
  gpt2-edge optimize --list
  gpt2-edge optimize --clear           of all packages
  gpt2-edge optimize PACKAGE --clear
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "optimize",
        help="make a package load faster on this machine",
        description="Make, list and clear what this machine keeps of packages.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("folder", nargs="?", metavar="PACKAGE", help="the package")
    parser.add_argument(
        "--prompt-weights",
        choices=("auto", "off"),
        default="auto",
        help="8-bit weights to read prompts with: make them where they read faster here (auto, "
        "the default), or not (off)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="what is kept, last used first")
    what.add_argument("--clear", action="store_true", help="remove it")
    return parser


def run(options: argparse.Namespace) -> int:
    from gpt2_edge.files.machine_cache import MachineCache

    cache = MachineCache.default()
    if cache.folder is None:
        raise PackageError(f"there is no cache: {cache.problem}")
    if options.folder is not None:
        require_package(options.folder)
    if options.list:
        if options.folder is not None:
            raise GenerationError("--list lists what is kept of all packages; leave out PACKAGE")
        _list(cache)
    elif options.clear:
        _clear(cache, options.folder)
    elif options.folder is None:
        raise GenerationError("PACKAGE is missing: gpt2-edge optimize PACKAGE, --list or --clear")
    else:
        _optimize(cache, options.folder, options.prompt_weights == "auto")
    return 0


def _optimize(cache: MachineCache, folder: str, prompt_weights: bool) -> None:
    with Loading():
        from gpt2_edge.files.package import open_package
        from gpt2_edge.graph.check import check_onnxruntime
        from gpt2_edge.graph.machine_form import optimize
        from gpt2_edge.graph.prompt_form import optimize_prompts

    package = open_package(folder)
    check_onnxruntime(package)
    memory_bound.while_loading(folder)
    stored, made = optimize(package, cache)
    print(one_line(f"{'made' if made else 'checked'}: {stored.record.bytes / 1e6:,.1f} MB in "
                   f"{stored.folder}"))  # fmt: skip
    prompts, why_not = optimize_prompts(package, cache) if prompt_weights else (None, "")
    if prompts is not None:
        print(one_line(f"for prompts: {prompts.record.bytes / 1e6:,.1f} MB in {prompts.folder}"))
    elif why_not:
        print(one_line(f"for prompts: nothing, {why_not}"))


def _list(cache: MachineCache) -> None:
    entries = cache.entries()
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        print(f"{entry.bytes / 1e6:>9,.1f} MB  used {used}  {one_line(entry.package, 60)}  "
              f"({entry.kind})")  # fmt: skip
    total = sum(entry.bytes for entry in entries)
    streams.note(one_line(f"{total / 1e6:,.1f} of at most {cache.limit / 1e6:,.0f} MB in "
                          f"{cache.folder}"))  # fmt: skip


def _clear(cache: MachineCache, folder: str | None) -> None:
    which = None
    if folder is not None:
        from gpt2_edge.files.machine_cache import package_hash
        from gpt2_edge.files.package import open_package

        which = package_hash(open_package(folder))
    entries = cache.clear(which)
    print(f"removed {entries} entr{'y' if entries == 1 else 'ies'}")
