"""What NNAPI and Core ML would take of a package, by ONNX Runtime's own lists; the .ort format."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from gpt2_edge.errors import ExportError
from gpt2_edge.files.package import Package

_PRODUCTS = ("MatMul", "Gemm", "MatMulInteger", "MatMulNBits", "MatMulIntegerToFloat")
_ERRORS_ONLY = 3
REQUIRED_OPERATORS = "required_operators.config"


@dataclass(frozen=True)
class Coverage:
    """How much of one graph file a mobile provider takes.

    nodes, products: (taken, all) of all nodes, and of the matrix multiplications. refused: why
    nodes are not taken, by operator, with their number. notes: what the list says of operators that
    are taken, which nobody has checked.
    """

    file: str
    provider: str
    nodes: tuple[int, int]
    products: tuple[int, int]
    partitions: int
    refused: dict[str, int]
    notes: tuple[str, ...]


def coverage(package: Package) -> list[Coverage]:
    """What NNAPI, and Core ML in both of its formats, take of each graph of `package`."""
    # The checker comes with onnxruntime and reads the lists that lie beside it.
    from onnxruntime.tools.mobile_helpers import usability_checker as checker

    logging.getLogger().setLevel(logging.WARNING)
    static = package.manifest.graph.static
    found = []
    for file in [package.manifest.graph.file, *([static.chunk_file] if static else [])]:
        # Weights stay outside: only shapes and operators matter.
        model = onnx.load(str(package.folder / file), load_external_data=False)
        model = onnx.shape_inference.infer_shapes(model)
        for provider, partitions in (
            ("NNAPI", checker.check_nnapi_partitions(model, True)),
            ("Core ML (ML Program)", _core_ml(checker, model, "mlprogram")),
            ("Core ML (NeuralNetwork)", _core_ml(checker, model, "neuralnetwork")),
        ):
            found.append(_coverage(file, provider, model, partitions))
    return found


def write_ort(package: Package, folder: Path) -> list[str]:
    """Write the graphs of `package` in .ort format, and the operators that a reduced build needs.

    `folder` is made. Returns the names of the files. Raises ExportError for a folder that is there
    already, and for graphs that do not fit the format (2 GB).
    """
    import onnxruntime.tools.convert_onnx_models_to_ort as converter

    if folder.exists():
        raise ExportError(f"{folder} is there already; give another folder")
    static = package.manifest.graph.static
    graphs = [package.manifest.graph.file, *([static.chunk_file] if static else [])]
    weights = [name for name in package.manifest.files if name.startswith(f"{graphs[0]}")]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ort-", dir=folder.parent) as scratch:
        source, target = Path(scratch) / "onnx", Path(scratch) / "ort"
        source.mkdir()
        for name in {*graphs, *weights}:
            shutil.copyfile(package.folder / name, source / name)
        logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)
        ort.set_default_logger_severity(_ERRORS_ONLY)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                converter.convert_onnx_models_to_ort(
                    source,
                    output_dir=target,
                    optimization_styles=[converter.OptimizationStyle.Fixed],
                )
        except Exception as error:  # the tool raises whatever ONNX Runtime raised
            reason = str(error).splitlines()[0]
            raise ExportError(
                f"{package.folder} cannot be written in .ort format: {reason}"
            ) from error
        _use_one_name(target)
        target.rename(folder)
    return sorted(path.name for path in folder.iterdir())


def _use_one_name(folder: Path) -> None:
    """Rename the list of operators, and leave out comments: they name a scratch folder."""
    for path in list(folder.glob("*.config")):
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.unlink()
        wanted = "".join(line for line in lines if not line.startswith("#"))
        (folder / REQUIRED_OPERATORS).write_text(wanted, encoding="utf-8")


def _core_ml(checker: Any, model: onnx.ModelProto, form: str) -> Any:
    return checker.check_coreml_partitions(model, True, f"coreml_supported_{form}_ops.md")


def _coverage(file: str, provider: str, model: onnx.ModelProto, partitions: Any) -> Coverage:
    taken = {id_of(node) for group in partitions.supported_groups for node in _nodes(group)}
    refused: Counter[str] = Counter()
    for node in model.graph.node:
        if id_of(node) in taken:
            continue
        operator = f"{node.domain or 'ai.onnx'}:{node.op_type}"
        if operator in partitions.unsupported_ops:
            refused[f"{operator} is not in its list"] += 1
        elif operator in partitions.ops_with_unsupported_rank:
            refused[f"{operator} has inputs of too many dimensions"] += 1
        else:
            refused[f"{operator} has inputs without a fixed size"] += 1
    products = [node for node in model.graph.node if node.op_type in _PRODUCTS]
    return Coverage(
        file=file,
        provider=provider,
        nodes=(partitions.num_supported_nodes, partitions.num_nodes),
        products=(sum(id_of(node) in taken for node in products), len(products)),
        partitions=partitions.num_partitions,
        refused=dict(refused.most_common()),
        notes=tuple(partitions.supported_ops_checker.get_caveats()),
    )


def id_of(node: onnx.NodeProto) -> str:
    """What tells a node from the others: its first output."""
    return str(node.output[0])


def _nodes(group: Any) -> list[onnx.NodeProto]:
    return list(group) if isinstance(group, list) else [group]
