"""The operators that an ONNX Runtime for this project's packages needs: required_operators.config.

    python operators.py PACKAGE_OR_FILE... > required_operators.config
    python operators.py --check required_operators.config PACKAGE_OR_FILE...

Of each graph, those that are in the file and those that ONNX Runtime's optimizer makes of it on
loading, since a reduced build still optimizes. `--check` fails, naming them, where the list lacks
some.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime

# The zeros of the cache come from a graph of one node (NativeZeros.kt).
_OF_THE_CORE = {("ai.onnx", 17, "ConstantOfShape")}


def operators_of(path: Path) -> set[tuple[str, int, str]]:
    """(domain, operator set, operator) of the graph in `path` and of what is made of it."""
    options = onnxruntime.SessionOptions()
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(optimized)
        options.log_severity_level = 3  # that the file is for this machine only
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return {*_operators(path), *_operators(optimized)}


def _operators(path: Path) -> Iterator[tuple[str, int, str]]:
    model = onnx.load(str(path), load_external_data=False)
    versions = {one.domain or "ai.onnx": one.version for one in model.opset_import}
    for node in model.graph.node:
        domain = node.domain or "ai.onnx"
        yield domain, versions[domain], node.op_type


def config(operators: set[tuple[str, int, str]]) -> str:
    """In ONNX Runtime's format, docs/Reduced_Operator_Kernel_build.md of its sources."""
    sets = sorted({(domain, version) for domain, version, _ in operators})
    lines = []
    for domain, version in sets:
        names = sorted(name for one, other, name in operators if (one, other) == (domain, version))
        lines.append(f"{domain};{version};{','.join(names)}\n")
    return "".join(lines)


def read(path: Path) -> set[tuple[str, int, str]]:
    """What `config` wrote."""
    found = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        domain, version, names = line.split(";")
        found |= {(domain, int(version), name) for name in names.split(",")}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", type=Path, metavar="CONFIG")
    parser.add_argument("graphs", type=Path, nargs="+")
    arguments = parser.parse_args()
    needed = set(_OF_THE_CORE)
    for path in arguments.graphs:
        needed |= operators_of(path / "model.onnx" if path.is_dir() else path)
    if arguments.check is None:
        sys.stdout.write(config(needed))
    elif missing := needed - read(arguments.check):
        sys.exit(f"{arguments.check} lacks {sorted(missing)}; write it anew with operators.py")


if __name__ == "__main__":
    main()
