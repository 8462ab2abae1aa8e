"""ONNX Runtime's execution providers: which are installed, which one to take, what it took."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnxruntime as ort

from gpt2_edge.errors import ProviderError

AUTO = "auto"
CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """An execution provider: ONNX Runtime's name for it, and where it is to be had.

    flavours: the graphs it computes as a whole or nearly; others load, but much of them is left to
    the CPU. automatic: whether "auto" takes it for those. device: where its tensors lie, in
    ONNX Runtime's words.
    """

    onnx_name: str
    source: str
    flavours: tuple[str, ...]
    automatic: bool = False
    device: str = "cpu"


_GPU_WHEEL = "pip install onnxruntime-gpu in place of onnxruntime"
PROVIDERS = {
    "cpu": Provider(CPU, "every onnxruntime", ("fused", "portable", "static")),
    "cuda": Provider("CUDAExecutionProvider", _GPU_WHEEL, ("fused", "portable"), True, "cuda"),
    "tensorrt": Provider("TensorrtExecutionProvider", _GPU_WHEEL, ("static",)),
    "openvino": Provider(
        "OpenVINOExecutionProvider",
        "pip install onnxruntime-openvino in place of onnxruntime",
        ("portable", "static"),
        True,
    ),
    "directml": Provider(
        "DmlExecutionProvider",
        "pip install onnxruntime-directml in place of onnxruntime (Windows)",
        ("fused", "portable"),
        True,
        "dml",
    ),
    "coreml": Provider(
        "CoreMLExecutionProvider", "onnxruntime's wheel for macOS has it", ("static",), True
    ),
    "xnnpack": Provider(
        "XnnpackExecutionProvider", "onnxruntime's builds for Android and iOS", ("static",)
    ),
    "nnapi": Provider("NnapiExecutionProvider", "onnxruntime's build for Android", ("static",)),
    "qnn": Provider(
        "QNNExecutionProvider",
        "pip install onnxruntime-qnn in place of onnxruntime",
        ("static",),
        True,
    ),
    "webgpu": Provider(
        "WebGpuExecutionProvider",
        "pip install onnxruntime-webgpu in place of onnxruntime",
        ("fused",),
        True,
        "gpu",
    ),
}


def candidates(name: str, flavour: str) -> list[str]:
    """Providers to try for `name` ("auto" or one of PROVIDERS), best first.

    Raises ProviderError for a provider that this ONNX Runtime has not.
    """
    installed = set(ort.get_available_providers())
    if name == AUTO:
        automatic = [
            key
            for key, provider in PROVIDERS.items()
            if provider.automatic and flavour in provider.flavours
        ]
        return [key for key in (*automatic, "cpu") if PROVIDERS[key].onnx_name in installed]
    if name not in PROVIDERS:
        raise ProviderError(f"provider {name!r} is not one of {AUTO}, {', '.join(PROVIDERS)}")
    provider = PROVIDERS[name]
    if provider.onnx_name not in installed:
        here = ", ".join(key for key in PROVIDERS if PROVIDERS[key].onnx_name in installed)
        raise ProviderError(
            f"provider {name} is not in this ONNX Runtime {ort.__version__}, which has {here}: "
            f"{provider.source}"
        )
    return [name]


def onnx_providers(name: str, options: Mapping[str, str]) -> list[Any]:
    """`name` as ONNX Runtime takes it; nodes that it does not take go to the CPU."""
    provider = PROVIDERS[name].onnx_name
    first = (provider, dict(options)) if options else provider
    return [first] if provider == CPU else [first, CPU]


class Placement:
    """Which provider computes how many nodes of a session, by ONNX Runtime's own account.

    Make it before the session; it asks for what ONNX Runtime records on loading, and profiles one
    run, because providers that compile subgraphs show up in the one and others only in the other.
    """

    def __init__(self, options: ort.SessionOptions) -> None:
        self._folder = TemporaryDirectory(prefix="gpt2-edge-")
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(self._folder.name) / "profile")

    def nodes(self, session: ort.InferenceSession) -> dict[str, int]:
        """Nodes by ONNX Runtime's name of the provider, after one run; profiling ends."""
        with self._folder:
            ran = Path(session.end_profiling()).read_bytes()
        nodes: Counter[str] = Counter()
        if hasattr(session, "get_provider_graph_assignment_info"):  # from 1.24 on
            for subgraph in session.get_provider_graph_assignment_info():
                nodes[subgraph.ep_name] += len(subgraph.get_nodes())
        profiled: Counter[str] = Counter()
        for event in json.loads(ran):
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                profiled[event["args"]["provider"]] += 1
        return dict(profiled | nodes)


def suggestion(name: str, flavour: str) -> str:
    """What to do where the provider `name` does not take `flavour`; empty if it should."""
    flavours = PROVIDERS[name].flavours
    if flavour in flavours:
        return ""
    return f" (it takes --flavour {' or '.join(flavours)}, and this one is {flavour})"


def check_placed(name: str, flavour: str, nodes: Mapping[str, int]) -> None:
    """Raise ProviderError if the provider `name` was asked for and took nothing."""
    if nodes.get(PROVIDERS[name].onnx_name):
        return
    raise ProviderError(
        f"provider {name} took none of the {sum(nodes.values())} nodes of this graph"
        f"{suggestion(name, flavour)}; use provider cpu"
    )
