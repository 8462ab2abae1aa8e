"""Our packages, as they are, in transformers.js and in web/'s module, both in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ecosystem.variants import NEW_TOKENS, Prompt, Variant, continuation
from gpt2_edge import Generator
from gpt2_edge.graph.int8_overflow import signed_weights_overflow

HERE = Path(__file__).parent / "in_node"
MODULE = Path(__file__).resolve().parents[2] / "web" / "build" / "src" / "index.js"
NODE = shutil.which("node")

has_transformers_js = pytest.mark.skipif(
    not (NODE and (HERE / "node_modules/@huggingface/transformers").is_dir()),
    reason="needs Node and transformers.js; tools/test-ecosystem.sh installs it where npm is",
)
has_module = pytest.mark.skipif(
    not (NODE and MODULE.exists()), reason="needs Node and web/build; web/test.sh makes it"
)


def in_node(
    package: Path, prompts: list[Prompt], script: str, *arguments: str
) -> list[dict[str, list[int]]]:
    """The ids of each prompt and the greedy tokens behind it."""
    request = {
        "prompts": [prompt.text for prompt in prompts],
        "new_tokens": NEW_TOKENS,
        "unsigned": signed_weights_overflow(),
    }
    assert NODE
    process = subprocess.run(
        [NODE, str(HERE / script), *arguments, str(package)],
        input=json.dumps(request),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    answers: list[dict[str, list[int]]] = json.loads(process.stdout.splitlines()[-1])
    return answers


def expected(ours: Generator, prompts: list[Prompt]) -> list[dict[str, list[int]]]:
    return [
        {"ids": prompt.ids, "tokens": continuation(ours, [prompt.ids]).tokens} for prompt in prompts
    ]


@has_transformers_js
def test_in_transformers_js(package: Path, ours: Generator, prompts: list[Prompt]) -> None:
    assert in_node(package, prompts, "transformers_js.mjs") == expected(ours, prompts)


@has_module
@pytest.mark.parametrize("package", [Variant("fused", "int4")], indirect=True, ids=str)
def test_the_default_package_in_our_module(
    package: Path, ours: Generator, prompts: list[Prompt]
) -> None:
    """To the token on the same kernels; WebAssembly's round otherwise, so its beginning counts."""
    answers = expected(ours, prompts)
    assert in_node(package, prompts, "our_module.mjs", "cpu") == answers
    for found, answer in zip(
        in_node(package, prompts, "our_module.mjs", "wasm"), answers, strict=True
    ):
        assert found["ids"] == answer["ids"]
        assert found["tokens"][:3] == answer["tokens"][:3]
