"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gpt2_edge.errors import GenerationError, ProviderError

if TYPE_CHECKING:
    from gpt2_edge.generate import Generator, Prompt


def add_package(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", metavar="PACKAGE", help="folder that gpt2-edge export wrote")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of ONNX Runtime (default: one a physical core)"
    )
    parser.add_argument(
        "--provider",
        default="auto",
        metavar="NAME",
        help="execution provider: cpu, cuda, openvino, webgpu, ... (docs/PROVIDERS.md; default: "
        "auto, the best that is installed)",
    )
    add_provider_options(parser)


def add_provider_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--provider-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what ONNX Runtime documents for the provider that is named (repeatable)",
    )


def provider_options(options: argparse.Namespace) -> dict[str, str]:
    """What `add_provider_options` took."""
    pairs = [entry.partition("=") for entry in options.provider_option]
    wrong = next((key for key, equals, _ in pairs if not (key and equals)), None)
    if wrong is not None:
        raise ProviderError(f"--provider-option takes KEY=VALUE, not {wrong!r}")
    return {key: value for key, _, value in pairs}


def add_prompt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", nargs="?", metavar="TEXT", help="the prompt (default: stdin)")
    parser.add_argument("--ids", metavar="N,N,...", help="the prompt as token ids")


def load(options: argparse.Namespace) -> Generator:
    """The package that `add_package` took."""
    from gpt2_edge.generate import Generator

    if options.threads is not None and options.threads < 1:
        raise GenerationError(f"--threads is {options.threads}; it must be at least 1")
    return Generator.load(
        options.package,
        provider=options.provider,
        provider_options=provider_options(options),
        threads=options.threads,
    )


def read_prompt(options: argparse.Namespace) -> Prompt:
    """The prompt that `add_prompt` took, from --ids, the argument or standard input."""
    if options.ids is not None:
        if options.prompt is not None:
            raise GenerationError("give the prompt as text or with --ids, not both")
        try:
            return [int(part) for part in options.ids.replace(",", " ").split()]
        except ValueError as error:
            raise GenerationError(f"--ids takes whole numbers, not {options.ids!r}") from error
    if options.prompt is not None:
        return str(options.prompt)
    try:
        return sys.stdin.read().removesuffix("\n")  # the one that echo and editors add
    except UnicodeDecodeError as error:
        raise GenerationError(f"standard input is not UTF-8 text ({error})") from error
