"""examples/c on Arm: the greedy and the drawn tokens of Python on the same processor."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from c_example import build, ids_of

ENVIRONMENT = os.environ.get("ARM64_ENVIRONMENT", "")
CPUS = os.environ.get("ARM64_CPUS", "").split()
pytestmark = pytest.mark.skipif(
    not ENVIRONMENT, reason="ARM64_ENVIRONMENT names no folder; tools/test-arm64.sh makes one"
)

TARGET = "aarch64-linux-gnu.2.28"  # what ONNX Runtime's wheel needs
PROMPT = [6968, 5217, 4187]
SETTINGS = {"top_k": 40, "temperature": 0.8, "seed": 7}
PYTHON = """
import json, sys
from gpt2_edge import Generator
generator = Generator.load(sys.argv[1], provider="cpu")
prompt, settings = json.loads(sys.argv[2]), json.loads(sys.argv[3])
print(*generator.generate(prompt, max_new_tokens=40, **settings).ids)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    capi = Path(ENVIRONMENT) / "site" / "onnxruntime" / "capi"
    tools = Path(os.environ["EMBEDDED_TOOLS"])
    return build(tools, capi, tmp_path_factory.mktemp("c"), TARGET)


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("settings", [{}, SETTINGS], ids=["greedy", "drawn"])
def test_tokens(cpu: str, settings: dict[str, float], program: Path, sample_int4: Path) -> None:
    bin_folder = Path(ENVIRONMENT) / "bin"
    arguments = [sample_int4, json.dumps(PROMPT), json.dumps(settings)]
    python = subprocess.run(
        [bin_folder / f"python-{cpu}", "-c", PYTHON, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [int(number) for number in python.stdout.split()]
    assert len(expected) == 40
    options = [f"--{name.replace('_', '-')}={value}".split("=") for name, value in settings.items()]
    asked = ["-n", 40, *(part for option in options for part in option), *PROMPT]
    assert ids_of([bin_folder / f"run-{cpu}", program, sample_int4, *asked]) == expected
