"""The ONNX Runtime session of a package."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from typing import Any

import onnxruntime as ort

from gpt2_edge.errors import GPT2EdgeError, PackageError, ProviderError
from gpt2_edge.files.machine_cache import MachineCache
from gpt2_edge.files.package_files import PackageFiles
from gpt2_edge.files.package_folder import Package
from gpt2_edge.graph.attention import AttentionGraph
from gpt2_edge.graph.background import Beside
from gpt2_edge.graph.check import (
    ATTENTION,
    check_graph,
    check_onnxruntime,
    is_open,
    reason,
    try_graph,
)
from gpt2_edge.graph.huge_pages import large_regions, use_huge_pages
from gpt2_edge.graph.loaded import LoadedGraph
from gpt2_edge.graph.machine_form import MachineForm, has_form
from gpt2_edge.graph.prompt_form import PromptForm
from gpt2_edge.graph.providers import (
    AUTO,
    PROVIDERS,
    Placement,
    candidates,
    check_options,
    check_placed,
    find_libraries,
    left_to_cpu,
    onnx_providers,
    suggestion,
)
from gpt2_edge.graph.session_options import checked_threads, session_options
from gpt2_edge.graph.static_sequence import StaticSequence
from gpt2_edge.graph.token_sequence import TokenSequence
from gpt2_edge.graph.trial import try_steps

FedSequence = TokenSequence | StaticSequence

# What ONNX Runtime takes beside the weights, at the least.
_ONNXRUNTIME_BYTES = 24 << 20


class Session(LoadedGraph):
    """A package loaded into ONNX Runtime; it holds no sequence, so threads may share it."""

    def __init__(
        self,
        package: Package,
        *,
        provider: str = AUTO,
        provider_options: Mapping[str, str] | None = None,
        threads: int | None = None,
        verify: bool = True,
        prepack: bool = True,
        count_nodes: bool = False,
        cache: MachineCache | None = None,
        prompt_weights: bool = True,
    ) -> None:
        """Load `package`.

        provider, provider_options, threads and verify are as in Generator.load. prepack: copy the
        weights into the layout that the kernels like; without it an fp32 graph runs from the
        memory-mapped file at half the memory and half the speed, and a quantized one very slowly.
        count_nodes: try the CPU too as other providers are, so that `nodes` is never None. cache:
        on the CPU, run the form of the package that it has (machine_form.py), or make one for the
        next time; only with `verify`. prompt_weights: read prompts by the graph that the cache has
        for it (prompt_form.py), if it has one.

        `provider` and `nodes` say what was taken: nodes of the graph (static: of both) by provider,
        by ONNX Runtime's account; None where it keeps none (the CPU before 1.24). `attention`: the
        weights with which tokens attend to others, of a graph that is loaded when it is asked.
        `fallback_reason`: why "auto" did not take the providers that it likes better, None where it
        did or where one was named. Raises PackageError and ProviderError.
        """
        self.package = package
        self.fallback_reason: str | None = None
        self._form: MachineForm | None = None
        self._prompts: PromptForm | None = None
        threads = checked_threads(threads)
        self.attention = AttentionGraph(package, threads, verify)
        check_onnxruntime(package)
        try:
            _check_room(package)
            files = PackageFiles(package)
            read = package.runtime_files()
            if cache is not None and verify and prepack and not count_nodes and has_form(package):
                self._form = MachineForm(package, cache)
            form = self._form
            hashed = read if form is None else form.unknown(files, read)
            # Hashes are compared while ONNX Runtime loads; a wrong one is the better message.
            hashes = Beside(lambda: files.check_hashes(hashed)) if verify else None
            failure: Exception | None = None
            options = {} if provider_options is None else provider_options
            try:
                read = self._check_files(files)
                self._load(files, provider, options, threads, prepack, count_nodes)
            except Exception as error:
                failure = error
            if hashes is not None:
                hashes.result()
            if failure is not None:
                raise failure
            if verify:
                run = form is None or not form.loaded  # the files themselves are
                rest = read if form is None or run else form.unknown(files, read)
                files.check_hashes(set(rest) - set(hashed))
                files.check_unchanged(read)
                if form is not None and cache is not None and self.provider == "cpu":
                    form.keep_later(files, read)
                    if prompt_weights and package.manifest.graph.cache == "shared":
                        self._prompts = PromptForm(package, cache, threads)
        except MemoryError as error:
            raise PackageError(f"{package.folder} does not fit into memory") from error
        except OSError as error:  # such as too many open files
            raise PackageError(
                f"{package.folder} cannot be loaded ({error.strerror or error})"
            ) from error

    @property
    def prompts(self) -> LoadedGraph | None:
        """The graph that all tokens of prompts go through; None: this session's own."""
        return None if self._prompts is None else self._prompts.graph

    def _check_files(self, files: PackageFiles) -> list[str]:
        """What the graphs say against what the manifest says; the listed files that are read."""
        package = self.package
        graphs = files.graphs()
        for name, graph in graphs.items():
            check_graph(package, name, graph)
        self._open_graph = package.manifest.graph.static is None and any(
            is_open(package, graph) for graph in graphs.values()
        )
        weights = {name for graph in graphs.values() for name in graph.weight_files}
        return [*package.runtime_files(), *sorted(weights - set(package.runtime_files()))]

    def _load(
        self,
        files: PackageFiles,
        asked: str,
        provider_options: Mapping[str, str],
        threads: int | None,
        prepack: bool,
        count_nodes: bool,
    ) -> None:
        """Load the graph with the provider asked for, or with the first that "auto" finds fit."""
        names = candidates(asked, self.package.manifest.graph.flavour)
        check_options(asked, provider_options)
        reasons: list[str] = []
        for name in names:
            find_libraries(name)
            providers = onnx_providers(name, provider_options, threads)
            # The CPU need not be tried; before 1.24 that is the only account of its nodes.
            tried = name != "cpu" or count_nodes
            try:
                with Placement(profile=tried) as placement:
                    self._load_on(files, name, threads, prepack, providers, placement, tried)
                self.fallback_reason = "; ".join(reasons) or None
                return
            except ProviderError as error:
                if name == names[-1]:
                    raise
                reasons.append(str(error))

    def _load_on(
        self,
        files: PackageFiles,
        name: str,
        threads: int | None,
        prepack: bool,
        providers: list[Any],
        placement: Placement,
        tried: bool,
    ) -> None:
        def open_file(file: str) -> ort.InferenceSession:
            options = session_options(threads, prepack)
            placement.record(options)
            if name == "cpu" and self._form is not None:
                session = self._form.load(options)
                if session is not None:
                    return session
                options = session_options(threads, prepack)
                placement.record(options)
            return self._open(file, files.source(file), name, options, providers)

        graph, before = self.package.manifest.graph, large_regions()
        self.onnx = open_file(graph.file)
        self._chunk = open_file(graph.static.chunk_file) if graph.static else None
        if name == "cpu":
            use_huge_pages(before)
        self.step_limit, self.last_row_only = None, False
        self.provider, self.device = name, PROVIDERS[name].device
        if graph.cache == "shared" and left_to_cpu(self.onnx, ATTENTION):
            self.device = "cpu"  # where the cache is written, such as CUDA's in float32
        if self._open_graph:
            try_graph(self.package, self.onnx)
        if tried:
            self._try_steps(name, threads)
        nodes = placement.nodes(self.onnx)
        if self._chunk is not None:
            nodes += placement.nodes(self._chunk)
        self.nodes = dict(nodes.most_common()) or None
        if tried:
            check_placed(name, graph.flavour, nodes)

    def _open(
        self,
        file: str,
        source: bytes | str,
        name: str,
        options: ort.SessionOptions,
        providers: list[Any],
    ) -> ort.InferenceSession:
        path, graph = self.package.folder / file, self.package.manifest.graph
        try:
            session = ort.InferenceSession(
                source,
                options,
                providers=providers,
                # On the CPU it keeps 8-bit products in QDQ form from becoming integer ones.
                disabled_optimizers=["MatMulAddFusion"] if graph.static else None,
                enable_fallback=0,  # to the CPU, with words on standard output
            )
        except Exception as error:  # ONNX Runtime raises a family of its own
            if name == "cpu":
                raise PackageError(
                    f"{path} cannot be loaded by ONNX Runtime {ort.__version__}: {reason(error)}"
                ) from error
            raise ProviderError(
                f"{path} cannot be loaded on {name}{suggestion(name, graph.flavour)}: "
                f"ONNX Runtime {ort.__version__} says {reason(error)}"
            ) from error
        if PROVIDERS[name].onnx_name not in session.get_providers():
            raise ProviderError(
                f"provider {name} does not start on this machine (ONNX Runtime {ort.__version__} "
                "prints why, the command with --debug); look at its options, or use provider cpu"
            )
        return session

    def _try_steps(self, name: str, threads: int | None) -> None:
        """Run the graph, and see whether its steps are computed right; ProviderError if not."""

        def on_cpu() -> Callable[[int], FedSequence]:
            reference = Session(self.package, provider="cpu", threads=threads, verify=False)
            return reference.start

        try:
            trial = try_steps(self.package, self.start, on_cpu)
        except Exception as error:  # ONNX Runtime raises what the provider says
            advice = suggestion(name, self.package.manifest.graph.flavour)
            said = error.__cause__ if isinstance(error, GPT2EdgeError) else error
            raise ProviderError(
                f"{self.package.model_path} cannot be run on {name}"
                f"{advice or '; use provider cpu, or export another recipe'}: "
                f"ONNX Runtime {ort.__version__} says {reason(said or error)}"
            ) from error
        if not trial.single_right:
            advice = suggestion(name, self.package.manifest.graph.flavour)
            raise ProviderError(
                f"{self.package.model_path} has other logits on {name} than on the CPU"
                f"{advice or '; use provider cpu, or export another recipe'}"
            )
        self.last_row_only = trial.last_row_only
        self.step_limit = None if trial.several_right else 1

    def start(self, capacity: int) -> FedSequence:
        """A new empty sequence with room for `capacity` tokens (at most the context length).

        Raises GenerationError where its cache does not fit into memory.
        """
        try:
            if self._chunk is not None:
                return StaticSequence(self, self._chunk, capacity)
            return TokenSequence(self, capacity)
        except MemoryError as error:
            raise self.memory_error(1, capacity) from error


def _check_room(package: Package) -> None:
    """Raise OSError where there is no address space for what is about to be loaded.

    ONNX Runtime says so too where it notices; short of its last pages it crashes (seen with 1.32).
    """
    size = sum(package.manifest.files[name].bytes for name in package.graph_files)
    mmap.mmap(-1, size + _ONNXRUNTIME_BYTES).close()
