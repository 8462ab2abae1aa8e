"""Execution providers from the command line: what cannot be had is one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import onnxruntime as ort
import pytest

from cli.command import Output
from gpt2_edge.graph.providers import PROVIDERS

Export = Callable[..., Path]
ABSENT = next(
    name
    for name in ("tensorrt", "qnn", "nnapi")
    if PROVIDERS[name].onnx_name not in ort.get_available_providers()
)


@pytest.mark.parametrize("verb", ["generate", "info"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--provider", ABSENT], f"which has .*: {re.escape(PROVIDERS[ABSENT].source)}"),
        (["--provider", "gpu"], "provider 'gpu' is not one of auto, cpu, cuda"),
        (["--provider", "cpu", "--provider-option", "a=b"], "provider cpu takes no options"),
        (["--provider", "auto", "--provider-option", "a=b"], "by name, not with auto"),
        (["--provider", "cpu", "--provider-option", "ab"], "takes KEY=VALUE, not 'ab'"),
        (["--provider", "cpu", "--provider-option", "=b"], "takes KEY=VALUE, not ''"),
    ],
)
def test_refused(
    refused: Output, random_package: Export, verb: str, arguments: list[str], message: str
) -> None:
    prompt = ["--ids", "1,2"] if verb == "generate" else []
    line = refused(verb, random_package(), *prompt, *arguments)
    assert re.search(message, line)


def test_info_options_need_a_provider(refused: Output, random_package: Export) -> None:
    line = refused("info", random_package(), "--provider-option", "a=b")
    assert "--provider-option goes with --provider" in line


def test_a_prompt_beyond_a_static_past(
    refused: Output, ok: Output, random_package: Export, tmp_path: Path
) -> None:
    checkpoint = random_package().parent / "checkpoint"
    folder = tmp_path / "package"
    options = ["--flavour", "static", "--recipe", "fp32", "--past", "8", "--no-tokenizer"]
    # An export reports its progress on standard error where it is a terminal only.
    ok("export", checkpoint, "-o", folder, *options)
    line = refused("generate", folder, "--ids", "1,2,3,4,5,6,7,8,9")
    assert "the prompt has 9 tokens; the model's context holds 8" in line
    assert "--past" in line


def test_the_result_says_what_computed_it(ok: Output, random_package: Export) -> None:
    package = random_package()
    result = json.loads(
        ok("generate", package, "--ids", "1,2", "-n", 2, "--provider", "cpu", "--json")
    )
    assert result["provider"] == "cpu"
    (line,) = [
        line for line in ok("info", package, "--provider", "cpu").splitlines() if "nodes:" in line
    ]
    found = re.fullmatch(r"provider   cpu; nodes: (\d+) by cpu", line)
    assert found is not None, line
    # Before 1.24 ONNX Runtime keeps no account of the CPU's nodes unless it is tried, as by info.
    keeps = tuple(map(int, ort.__version__.split(".")[:2])) >= (1, 24)
    assert result["nodes"] == ({"cpu": int(found[1])} if keeps else None)


def test_bench_takes_the_provider_too(refused: Output, random_package: Export) -> None:
    assert "onnxruntime" in refused("bench", random_package(), "--provider", ABSENT)
