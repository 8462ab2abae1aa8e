"""ONNX Runtime's execution providers: which are installed, which one to take, what it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime as ort

from gpt2_edge.errors import ProviderError
from gpt2_edge.untrusted import UnreadableError, parse_json, read_bytes, shown

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

AUTO = "auto"
CPU = "CPUExecutionProvider"
_LARGEST_PROFILE = 256 << 20  # some hundred bytes for each node and token that is tried


@dataclass(frozen=True)
class Provider:
    """An execution provider: ONNX Runtime's name for it, and where it is to be had.

    flavours: the graphs it computes as a whole or nearly; others load, but much of them is left to
    the CPU. target: the export's --target for it, if there is one. automatic: those of them for
    which "auto" takes it. device: where its tensors lie, in ONNX Runtime's words. options: those
    that it knows, where ONNX Runtime itself ignores others; None where it refuses them.
    threads_option: by which it is told how many threads it may have, if it has its own.
    """

    onnx_name: str
    source: str
    flavours: tuple[str, ...]
    target: str | None = None
    automatic: tuple[str, ...] = ()
    device: str = "cpu"
    options: frozenset[str] | None = None
    threads_option: str | None = None


_GPU_WHEEL = "pip install 'onnxruntime-gpu[cuda,cudnn]' in place of onnxruntime"
# Those of WebGPU's that are plain values (ONNX Runtime 1.27, webgpu_provider_options.h).
_WEBGPU_OPTIONS = frozenset({
    "dawnBackendType", "defaultBufferCacheMode", "deviceId", "enableGraphCapture", "enableInt64",
    "enablePIXCapture", "forceCpuNodeNames", "maxStorageBufferBindingSize",
    "multiRotaryCacheConcatOffset", "powerPreference", "preferredLayout", "preserveDevice",
    "queryResolveBufferCacheMode", "storageBufferCacheMode", "uniformBufferCacheMode",
    "validationMode",
})  # fmt: skip
PROVIDERS = {
    "cpu": Provider(
        CPU, "every onnxruntime", ("fused", "portable", "static"), "cpu", options=frozenset()
    ),
    "cuda": Provider(
        "CUDAExecutionProvider",
        _GPU_WHEEL,
        ("fused", "portable"),
        "cuda",
        automatic=("fused", "portable"),
        device="cuda",
    ),
    "tensorrt": Provider("TensorrtExecutionProvider", _GPU_WHEEL, ("static",)),
    "openvino": Provider(
        "OpenVINOExecutionProvider",
        "pip install onnxruntime-openvino in place of onnxruntime",
        ("portable", "static"),
        automatic=("static",),  # the CPU provider decodes portable graphs faster
        threads_option="num_of_threads",
    ),
    "directml": Provider(
        "DmlExecutionProvider",
        "pip install onnxruntime-directml in place of onnxruntime (Windows)",
        ("fused", "portable"),
        automatic=("fused", "portable"),
        device="dml",
    ),
    "coreml": Provider(
        "CoreMLExecutionProvider",
        "onnxruntime's wheel for macOS has it",
        ("static",),
        automatic=("static",),
    ),
    "xnnpack": Provider(
        "XnnpackExecutionProvider",
        "onnxruntime's builds for Android and iOS",
        ("static",),
        threads_option="intra_op_num_threads",
    ),
    "nnapi": Provider("NnapiExecutionProvider", "onnxruntime's build for Android", ("static",)),
    "qnn": Provider(
        "QNNExecutionProvider",
        "pip install onnxruntime-qnn in place of onnxruntime",
        ("static",),
        "npu",
        automatic=("static",),
    ),
    "webgpu": Provider(
        "WebGpuExecutionProvider",
        "pip install onnxruntime-webgpu in place of onnxruntime",
        ("fused",),
        automatic=("fused",),
        device="gpu",
        options=_WEBGPU_OPTIONS,
    ),
}


def candidates(name: str, flavour: str) -> list[str]:
    """Providers to try for `name` ("auto" or one of PROVIDERS), best first.

    Raises ProviderError for a provider that this ONNX Runtime has not.
    """
    installed = set(ort.get_available_providers())
    if isinstance(name, str) and name == AUTO:
        automatic = [key for key, provider in PROVIDERS.items() if flavour in provider.automatic]
        return [key for key in (*automatic, "cpu") if PROVIDERS[key].onnx_name in installed]
    if not isinstance(name, str) or name not in PROVIDERS:
        raise ProviderError(f"provider {shown(name)} is not one of {AUTO}, {', '.join(PROVIDERS)}")
    provider = PROVIDERS[name]
    if provider.onnx_name not in installed:
        here = ", ".join(key for key in PROVIDERS if PROVIDERS[key].onnx_name in installed)
        raise ProviderError(
            f"provider {name} is not in this ONNX Runtime {ort.__version__}, which has {here}: "
            f"{provider.source}"
        )
    return [name]


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Raise ProviderError for options that nothing would read."""
    if not isinstance(options, Mapping):
        raise ProviderError(f"provider_options is {shown(options)}; give a dict of texts by name")
    if not options:
        return
    if name == AUTO:
        raise ProviderError("provider options go with a provider by name, not with auto")
    known = PROVIDERS[name].options
    unknown = [key for key in options if known is not None and key not in known]
    if unknown and not known:
        raise ProviderError(f"provider {name} takes no options; leave out {unknown[0]}")
    if unknown:
        raise ProviderError(
            f"provider {name} has no option {unknown[0]!r}; it has {', '.join(sorted(known or ()))}"
        )


def onnx_providers(name: str, options: Mapping[str, str], threads: int | None = None) -> list[Any]:
    """`name` as ONNX Runtime takes it; nodes that it does not take go to the CPU.

    threads: where the provider has threads of its own, told to it unless `options` says it.
    """
    provider = PROVIDERS[name]
    given = dict(options)
    if threads and provider.threads_option:
        given.setdefault(provider.threads_option, str(threads))
    first = (provider.onnx_name, given) if given else provider.onnx_name
    return [first] if name == "cpu" else [first, CPU]


def find_libraries(name: str) -> None:
    """Load what the provider `name` links to from where pip put it.

    NVIDIA's libraries come in wheels of their own (those of onnxruntime-gpu[cuda,cudnn]), where the
    system's loader does not look. Whether the provider starts is seen when a session is opened, so
    what ONNX Runtime prints about missing ones is dropped.
    """
    if name in ("cuda", "tensorrt") and hasattr(ort, "preload_dlls"):
        with redirect_stdout(StringIO()):
            ort.preload_dlls()


class Placement:
    """Which provider computes how many nodes of some sessions, by ONNX Runtime's own account.

    It records the assignment on loading, and what a run of `profile`d sessions computes: providers
    that compile subgraphs show up in the one and others only in the other.
    """

    def __init__(self, profile: bool) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        if profile:
            # With all that it imports, not for the CPU.
            from tempfile import TemporaryDirectory

            self._folder = TemporaryDirectory(prefix="gpt2-edge-")

    def __enter__(self) -> Placement:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def record(self, options: ort.SessionOptions) -> None:
        """Make a session that is opened with `options` keep the account."""
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        if self._folder is not None:
            options.enable_profiling = True
            # A file's name ends with its second, so two sessions need two folders.
            from tempfile import mkdtemp

            folder = mkdtemp(dir=self._folder.name)
            options.profile_file_prefix = str(Path(folder) / "profile")

    def nodes(self, session: ort.InferenceSession) -> Counter[str]:
        """Nodes of `session` by provider (a name of PROVIDERS); where it profiles, that ends."""
        nodes: Counter[str] = Counter()
        if hasattr(session, "get_provider_graph_assignment_info"):  # from 1.24 on
            for subgraph in session.get_provider_graph_assignment_info():
                nodes[_NAMES.get(subgraph.ep_name, subgraph.ep_name)] += len(subgraph.get_nodes())
        if self._folder is None:
            return nodes
        ran = set()
        for event in _events(Path(session.end_profiling())):
            name, details = event["name"], event.get("args", {})
            # Copies to and from a device are ONNX Runtime's own, not the graph's.
            if name.endswith("_kernel_time") and not details["op_name"].startswith("Memcpy"):
                ran.add((details["provider"], details["node_index"]))
        nodes |= Counter(_NAMES.get(provider, provider) for provider, _ in ran)
        return nodes


def left_to_cpu(session: ort.InferenceSession, operator: str) -> bool:
    """Whether nodes of type `operator` are computed on the CPU, whatever takes the others.

    False where ONNX Runtime keeps no account of it (before 1.24).
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return False
    return any(
        node.op_type == operator
        for subgraph in session.get_provider_graph_assignment_info()
        if subgraph.ep_name == CPU
        for node in subgraph.get_nodes()
    )


def _events(profile: Path) -> list[Any]:
    """What ONNX Runtime wrote; nothing where a name out of the graph broke its JSON."""
    try:
        events = parse_json(read_bytes(profile, _LARGEST_PROFILE))
    except (FileNotFoundError, UnreadableError):
        return []
    return events if isinstance(events, list) else []


_NAMES = {provider.onnx_name: name for name, provider in PROVIDERS.items()}


def suggestion(name: str, flavour: str) -> str:
    """What to do where the provider `name` does not take `flavour`; empty if it should."""
    provider = PROVIDERS[name]
    if flavour in provider.flavours:
        return ""
    target = f" (--target {provider.target})" if provider.target else ""
    return (
        f"; this package is --flavour {flavour}, and {name} takes --flavour "
        f"{' or '.join(provider.flavours)}{target}: export it again"
    )


def check_placed(name: str, flavour: str, nodes: Mapping[str, int]) -> None:
    """Raise ProviderError if the provider `name` was asked for and took nothing."""
    if nodes.get(name):
        return
    advice = suggestion(name, flavour) or "; look at its options, or use provider cpu"
    raise ProviderError(
        f"provider {name} took none of the {sum(nodes.values())} nodes of this graph{advice}"
    )
