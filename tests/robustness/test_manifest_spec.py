"""spec/manifests.json, which every runtime runs, on a real package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import GenerationConfig, Generator, PackageError
from robustness.packages import assert_line

_SPEC = json.loads(
    (Path(__file__).resolve().parents[2] / "spec" / "manifests.json").read_text("utf-8")
)


def changed(sample: Path, folder: Path, changes: list[list[Any]]) -> Path:
    """A copy of `sample` in `folder`, its manifest with `changes`."""
    package = Path(shutil.copytree(sample, folder / "package"))
    path = package / "manifest.json"
    raw = json.loads(path.read_text("utf-8"))
    for verb, keys, *value in changes:
        target = raw
        for key in keys[:-1]:
            target = target[key]
        if verb == "set":
            target[keys[-1]] = value[0]
        else:
            assert verb == "delete"
            del target[keys[-1]]
    path.write_text(json.dumps(raw), "utf-8")
    return package


@pytest.mark.parametrize("case", _SPEC["refused"], ids=lambda case: case["name"])
def test_refused(sample_int4: Path, tmp_path: Path, case: dict[str, Any]) -> None:
    package = changed(sample_int4, tmp_path, case["change"])
    with pytest.raises(PackageError) as raised:
        Generator.load(package)
    message = assert_line(raised.value)
    assert case["names"] in message
    assert str(package) in message


@pytest.mark.parametrize("case", _SPEC["borne"], ids=lambda case: case["name"])
def test_borne(sample_int4: Path, tmp_path: Path, case: dict[str, Any]) -> None:
    config = GenerationConfig(max_new_tokens=8, ignore_eos=True)
    expected = Generator.load(sample_int4).generate("It was", config).ids
    package = changed(sample_int4, tmp_path, case["change"])
    assert Generator.load(package).generate("It was", config).ids == expected
