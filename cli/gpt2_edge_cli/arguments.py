"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2_edge.errors import GenerationError, PackageError, ProviderError
from gpt2_edge.untrusted import UnreadableError, one_line, printable, read_text_file, shown, text_of
from gpt2_edge_cli import memory_bound, streams
from gpt2_edge_cli.offering import offer
from gpt2_edge_cli.signals import Loading, LoadingGraph

if TYPE_CHECKING:
    from gpt2_edge.generate import Generator
    from gpt2_edge.model import Prompt

# More than any context holds, and little enough to be tokenized in a moment.
PROMPT_LIMIT = 4 << 20
_MOST_THREADS = 256
# gpt2_edge.graph.providers has them, and loads ONNX Runtime.
PROVIDERS = ("auto", "cpu", "cuda", "tensorrt", "openvino", "directml", "coreml", "xnnpack",
             "nnapi", "qnn", "webgpu")  # fmt: skip


def add_package(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", metavar="PACKAGE", help="folder that gpt2-edge export wrote")
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads of ONNX Runtime (default: one per physical core)",
    )
    provider = parser.add_argument(
        "--provider",
        default="auto",
        metavar="NAME",
        help="execution provider: cpu, cuda, openvino, webgpu, ... (docs/PROVIDERS.md; default: "
        "auto, the best that is installed)",
    )
    offer(provider, PROVIDERS)
    add_provider_options(parser)
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="do not use or make this machine's optimized copy of the package (gpt2-edge optimize)",
    )
    parser.add_argument(
        "--prompt-weights",
        choices=("auto", "off"),
        default="auto",
        help="auto (default): read prompts with the 8-bit weights that gpt2-edge optimize made, if "
        "there are any; off: with the package's own",
    )


def add_provider_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--provider-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option that ONNX Runtime documents for the named provider (repeatable)",
    )


def provider_options(options: argparse.Namespace) -> dict[str, str]:
    """What `add_provider_options` took."""
    pairs = [entry.partition("=") for entry in options.provider_option]
    wrong = next((key for key, equals, _ in pairs if not (key and equals)), None)
    if wrong is not None:
        raise ProviderError(f"--provider-option takes KEY=VALUE, not {shown(wrong)}")
    return {key: value for key, _, value in pairs}


def thread_count(options: argparse.Namespace) -> int | None:
    """What --threads says, if it can be meant: the system refuses thousands, in many ways."""
    most = max(_MOST_THREADS, os.cpu_count() or 1)
    if options.threads is not None and not 1 <= options.threads <= most:
        raise GenerationError(
            f"--threads is {shown(options.threads, 20)}; it must be at least 1 and at most {most}"
        )
    count: int | None = options.threads
    return count


def add_prompt(parser: argparse.ArgumentParser, what: str = "the prompt") -> None:
    parser.add_argument(
        "prompt", nargs="?", metavar="TEXT", help=f"{what} (default, and for -: standard input)"
    )
    parser.add_argument("--ids", metavar="N,N,...", help=f"{what} as token ids")


def add_prompt_file(parser: argparse.ArgumentParser, what: str = "the prompt") -> None:
    parser.add_argument("-f", "--file", metavar="FILE", help=f"a UTF-8 file that holds {what}")


def require_package(name: str) -> None:
    """Say what to do where PACKAGE is a checkpoint, or may be the name of one on the hub."""
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            return  # the package's own errors say more
        if (folder / "manifest.json").exists() or any(folder.glob("*.onnx")):
            return
        found = "this is a checkpoint, no package"
    elif re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name, re.ASCII):
        found = "no such package folder"
    else:
        return
    quoted = [one_line(shlex.quote(text), 200) for text in (name, f"{folder.absolute().name}-int4")]
    raise PackageError(f"{name}: {found}; export it first: gpt2-edge export {' -o '.join(quoted)}")


def load(options: argparse.Namespace) -> Generator:
    """The package that `add_package` took."""
    streams.flush_output()
    with Loading():
        from gpt2_edge.graph.background import Beside
        from gpt2_edge.model import load_parts

        # The rest is imported while ONNX Runtime loads the graph.
        rest = Beside(lambda: importlib.import_module("gpt2_edge.generate"))
        threads = thread_count(options)
        bounded = memory_bound.while_loading(options.package, threads, options.provider)
        given = provider_options(options)
        with LoadingGraph():
            parts = load_parts(
                options.package,
                provider=options.provider,
                provider_options=given,
                threads=threads,
                machine_cache=not options.no_cache,
                prompt_weights=options.prompt_weights,
            )
        rest.result()
        from gpt2_edge.generate import Generator

        generator = Generator(*parts)
        if bounded:
            memory_bound.while_running(generator.manifest, threads)
        return generator


def load_assistant(options: argparse.Namespace) -> Generator | None:
    """The package that --assistant names, if it names one; on the same provider."""
    if options.assistant is None:
        return None
    require_package(options.assistant)
    return load(argparse.Namespace(**vars(options) | {"package": options.assistant}))


def read_prompt(options: argparse.Namespace) -> Prompt:
    """The prompt that `add_prompt` took: --ids, --file, the argument or standard input."""
    file = getattr(options, "file", None)
    given = {"--ids": options.ids, "-f/--file": file, "text": options.prompt}
    several = [name for name, value in given.items() if value is not None]
    if len(several) > 1:
        raise GenerationError(f"give the prompt as {' or with '.join(reversed(several))}, not both")
    if options.ids is not None:
        return _ids(options.ids)
    if file is not None and file != "-":
        return _without_last_newline(_read(file))
    if options.prompt is not None and options.prompt != "-":
        return utf_8(options.prompt, "the text")
    return _without_last_newline(_standard_input())


def _ids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise GenerationError(f"--ids takes whole numbers, not {shown(text)}") from error


def _read(file: str) -> str:
    try:
        return read_text_file(Path(file), PROMPT_LIMIT)
    except UnreadableError as error:
        raise GenerationError(f"{file} cannot be read as text: {error}") from error


def _standard_input() -> str:
    """All that stands on standard input, as UTF-8 whatever the locale is."""
    if sys.stdin is None:
        raise GenerationError("standard input is closed; give the text as an argument")
    if streams.is_terminal(sys.stdin):
        end = "Ctrl-Z and Enter" if os.name == "nt" else "Ctrl-D"
        streams.note(f"type a text, and end it with {end} on a line of its own")
    buffer = getattr(sys.stdin, "buffer", None)
    try:
        content = buffer.read(PROMPT_LIMIT + 1) if buffer else sys.stdin.read().encode()
    except (OSError, ValueError) as error:  # ValueError: closed
        reason = getattr(error, "strerror", None) or error
        raise GenerationError(f"standard input cannot be read ({reason})") from error
    if len(content) > PROMPT_LIMIT:
        raise GenerationError(f"standard input has more than {PROMPT_LIMIT >> 20} MB of text")
    try:
        return text_of(content)
    except UnreadableError as error:
        raise GenerationError(f"standard input is not UTF-8 text ({error})") from error


def _without_last_newline(text: str) -> str:
    return text.removesuffix("\n")  # the one that echo and editors add


def utf_8(text: str, what: str) -> str:
    """`text`, if the shell gave it in UTF-8: Python lets other bytes through as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise GenerationError(f"{what} is not UTF-8: {printable(text[:80])}") from error
    return text
