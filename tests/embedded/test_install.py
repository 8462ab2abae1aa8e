"""docs/EMBEDDED.md's set of two wheels, installed by its own commands into a new environment."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from environments import ROOT, clean_copy, outside, run
from gpt2_edge import Generator

SPEC = json.loads((ROOT / "spec" / "tokenizers.json").read_text("utf-8"))["tokenizers"]
LIST_MODULES = (
    "import sys; from gpt2_edge import Generator; Generator.load(sys.argv[1]).generate('It was');"
    "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
)


@pytest.fixture(scope="module")
def bin_folder(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clone = clean_copy(tmp_path_factory.mktemp("embedded") / "clone")
    (block,) = re.findall(
        r"^```console\n(.*?)^```$", (ROOT / "docs/EMBEDDED.md").read_text("utf-8"), re.M | re.S
    )
    *commands, generate = [line.removeprefix("$ ") for line in block.splitlines()]
    assert len(commands) == 3
    assert "gpt2-edge generate" in generate
    for command in commands:
        run(*command.replace("python3", sys.executable, 1).split(), cwd=clone)
    return clone / "embedded" / "bin"


def test_what_is_installed(bin_folder: Path) -> None:
    listed = json.loads(run(bin_folder / "pip", "list", "--format", "json"))
    names = {item["name"] for item in listed} - {"pip", "setuptools"}
    assert names == {"gpt2-edge", "numpy", "onnxruntime"}


def test_what_is_imported(bin_folder: Path, sample_int4: Path) -> None:
    modules = set(run(bin_folder / "python", "-c", LIST_MODULES, sample_int4).split())
    assert {"gpt2_edge", "numpy", "onnxruntime"} <= modules
    assert modules <= {"gpt2_edge", "numpy", "onnxruntime", "__main__", "_distutils_hack"}


def test_it_writes_what_is_written_here(bin_folder: Path, sample_int4: Path) -> None:
    prompt = "They're “naïve” 🙂 — it was 12½ o'clock"
    expected = Generator.load(sample_int4).generate(prompt, max_new_tokens=40, top_k=40, seed=3)
    command = [bin_folder / "gpt2-edge", "generate", sample_int4, prompt, "--no-cache"]
    written = run(*command, "-n", 40, "--top-k", 40, "--seed", 3)
    assert expected.text.strip()
    assert expected.text in written


@pytest.mark.parametrize("verb", [["verify"], ["next", "It was"], ["tokenize", "It's 🙂"]])
def test_verbs(verb: list[str], bin_folder: Path, sample_int4: Path) -> None:
    name, *arguments = verb
    assert run(bin_folder / "gpt2-edge", name, sample_int4, *arguments)


def test_another_tokenizer_is_one_line(
    bin_folder: Path, sample_checkpoint: Path, tmp_path: Path
) -> None:
    bert = next(item["tokenizer"] for item in SPEC if item["kind"] == "word_piece")
    (tmp_path / "tokenizer.json").write_text(json.dumps(bert))
    code = "import sys; from gpt2_edge.text.tokenizer import Tokenizer; from pathlib import Path\n"
    code += "from gpt2_edge import PackageError\n"
    code += "try: Tokenizer(Path(sys.argv[1]))\nexcept PackageError as error: print(error)"
    said = run(bin_folder / "python", "-c", code, tmp_path / "tokenizer.json")
    assert "BertNormalizer" in said
    assert "pip install tokenizers" in said
    assert said.count("\n") == 1


def test_export_says_what_it_needs(
    bin_folder: Path, sample_checkpoint: Path, tmp_path: Path
) -> None:
    process = subprocess.run(
        [bin_folder / "gpt2-edge", "export", sample_checkpoint, "-o", tmp_path / "package"],
        env=outside(),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1, process.stderr
    assert "[export]" in process.stderr
