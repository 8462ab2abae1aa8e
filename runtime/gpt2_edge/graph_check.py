"""Is the graph in a package the one that its manifest describes?"""

from __future__ import annotations

import re

import onnxruntime as ort

from gpt2_edge.errors import PackageError
from gpt2_edge.package import Package

_TENSOR_TYPES = {"float32": "tensor(float)", "float16": "tensor(float16)", "int8": "tensor(int8)"}


def check_onnxruntime(package: Package) -> None:
    """Raise PackageError if this ONNX Runtime is older than the package needs."""
    minimum = package.manifest.graph.min_onnxruntime
    if not re.fullmatch(r"\d+(\.\d+)*", minimum):
        raise PackageError(
            f"{package.folder}: the manifest asks for ONNX Runtime {minimum!r}, which is no version"
        )
    if _numbers(ort.__version__) < _numbers(minimum):
        raise PackageError(
            f"{package.folder} needs ONNX Runtime {minimum} or later, this is {ort.__version__}: "
            "pip install --upgrade onnxruntime"
        )


def check_graph(session: ort.InferenceSession, package: Package) -> None:
    """Raise PackageError unless the graph's inputs, outputs and sizes are the manifest's."""
    path, architecture = package.model_path, package.manifest.architecture
    names = package.manifest.graph.names
    required = {entry.name: entry.shape for entry in session.get_inputs()}
    types = {entry.name: entry.type for entry in session.get_inputs()}
    optional = {entry.name for entry in session.get_overridable_initializers()}
    outputs = {entry.name: entry.shape for entry in session.get_outputs()}

    def of_layers(*patterns: str) -> list[str]:
        layers = range(architecture.num_layers)
        return [pattern.format(i=layer) for layer in layers for pattern in patterns]

    plain = (names.input_ids, names.attention_mask, names.position_ids, names.logits_to_keep)
    past = of_layers(names.past_key, names.past_value)
    present = of_layers(names.present_key, names.present_value)
    named = {*filter(None, plain), *past}
    for name in filter(None, (*plain, *past)):
        if name not in required and name not in optional:
            raise PackageError(f"{path} has no input {name}, which the manifest names")
    for name in required:
        if name not in named:
            raise PackageError(f"{path} needs the input {name}, which the manifest does not name")
    for name in (names.logits, *present):
        if name not in outputs:
            raise PackageError(f"{path} has no output {name}, which the manifest names")
    cache_dtype = package.manifest.graph.cache_dtype
    for name in past:
        if types[name] != _TENSOR_TYPES[cache_dtype]:
            raise PackageError(
                f"{path} has the input {name} as {types[name]}, the manifest says {cache_dtype}; "
                "export the package again"
            )
    heads = (architecture.num_heads, architecture.head_size)
    vocab = outputs[names.logits][-1]
    # optimum's graphs leave sizes symbolic; only numbers can be compared.
    if package.manifest.graph.static:  # keys lie transposed
        past = past[1::2]
    if any((required[name][1], required[name][3]) != heads for name in past) or (
        isinstance(vocab, int) and vocab != architecture.vocab_size
    ):
        raise PackageError(
            f"{path} has other heads or another vocabulary than the manifest says; "
            "export the package again"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
