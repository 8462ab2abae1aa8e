"""The ONNX Runtime session of a package, and one sequence being fed through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from gpt2_edge.cache import Cache, ConcatCache, SharedCache
from gpt2_edge.errors import ContextOverflowError, PackageError, ProviderError
from gpt2_edge.graph_check import check_graph, check_onnxruntime
from gpt2_edge.int8_overflow import signed_weights_overflow
from gpt2_edge.package import Package
from gpt2_edge.providers import (
    AUTO,
    PROVIDERS,
    Placement,
    candidates,
    check_options,
    check_placed,
    onnx_providers,
    suggestion,
)
from gpt2_edge.static_sequence import StaticSequence

# Long prompts are fed in chunks: attention's scores take heads x chunk x context floats, and a
# caller can stop between two chunks. Speed is flat from about 100 tokens on.
PREFILL_CHUNK = 256
# Kernels take rows in small groups, of which this is a multiple, and in tiles; a row that is left
# alone in its tile is computed by other instructions.
ROW_GROUP = 16
_ROW_TILE = 128
_FATAL_ONLY = 4  # errors come as exceptions, whose words end in ours
_REASON_LENGTH = 160
# Tokens that a provider is tried with, and how far its logits may be apart, in standard deviations:
# rounded activations make 0.15 of rounding noise, and what was wrong was 0.6 to 2.5 apart.
_TRIED, _TOLERATED = 40, 0.25


class Session:
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
    ) -> None:
        """Load `package`.

        provider, provider_options, threads and verify are as in Generator.load. prepack: copy the
        weights into the layout that the kernels like; without it an fp32 graph runs from the
        memory-mapped file at half the memory and half the speed, and a quantized one very slowly.
        count_nodes: try the CPU too as other providers are, so that `nodes` is never None.

        `provider` and `nodes` say what was taken: nodes of the graph (static: of both) by provider,
        by ONNX Runtime's account; None where it keeps none (the CPU before 1.24). Raises
        PackageError and ProviderError.
        """
        self.package = package
        check_onnxruntime(package)
        # Hashes are compared while ONNX Runtime loads; a wrong one is the better message.
        with ThreadPoolExecutor(1) as pool:
            hashes = pool.submit(package.check_hashes, package.runtime_files()) if verify else None
            failure: PackageError | ProviderError | None = None
            try:
                self._load(provider, provider_options or {}, threads, prepack, count_nodes)
            except (PackageError, ProviderError) as error:
                failure = error
            if hashes is not None:
                hashes.result()
        if failure is not None:
            raise failure

    def _load(
        self,
        asked: str,
        provider_options: Mapping[str, str],
        threads: int | None,
        prepack: bool,
        count_nodes: bool,
    ) -> None:
        """Load the graph with the provider asked for, or with the first that "auto" finds fit."""
        names = candidates(asked, self.package.manifest.graph.flavour)
        check_options(asked, provider_options)
        for name in names:
            providers = onnx_providers(name, provider_options, threads)
            # The CPU need not be tried; before 1.24 that is the only account of its nodes.
            tried = name != "cpu" or count_nodes
            try:
                with Placement(profile=tried) as placement:
                    self._load_on(name, providers, threads, prepack, placement, tried)
                return
            except ProviderError:
                if name == names[-1]:
                    raise

    def _load_on(
        self,
        name: str,
        providers: list[Any],
        threads: int | None,
        prepack: bool,
        placement: Placement,
        tried: bool,
    ) -> None:
        def open_file(file: str) -> ort.InferenceSession:
            options = _session_options(threads, prepack)
            placement.record(options)
            return self._open(file, name, options, providers)

        graph = self.package.manifest.graph
        self.onnx = open_file(graph.file)
        check_graph(self.onnx, self.package)
        self._chunk = open_file(graph.static.chunk_file) if graph.static else None
        self.step_limit: int | None = None  # of tokens in one step
        self.last_row_only = False  # whatever logits_to_keep says
        self.provider, self.device = name, PROVIDERS[name].device
        if tried:
            self._try_steps(name)
        nodes = placement.nodes(self.onnx)
        if self._chunk is not None:
            nodes += placement.nodes(self._chunk)
        self.nodes = dict(nodes.most_common()) or None
        if tried:
            check_placed(name, graph.flavour, nodes)

    def _open(
        self, file: str, name: str, options: ort.SessionOptions, providers: list[Any]
    ) -> ort.InferenceSession:
        path, graph = self.package.folder / file, self.package.manifest.graph
        try:
            session = ort.InferenceSession(
                str(path),
                options,
                providers=providers,
                # On the CPU it keeps 8-bit products in QDQ form from becoming integer ones.
                disabled_optimizers=["MatMulAddFusion"] if graph.static else None,
                enable_fallback=0,  # to the CPU, with words on standard output
            )
        except Exception as error:  # ONNX Runtime raises a family of its own
            if name == "cpu":
                raise PackageError(
                    f"{path} cannot be loaded by ONNX Runtime {ort.__version__}: "
                    f"{str(error).splitlines()[0]}"
                ) from error
            raise ProviderError(
                f"{path} cannot be loaded on {name}{suggestion(name, graph.flavour)}: "
                f"ONNX Runtime {ort.__version__} says {_reason(error)}"
            ) from error
        if PROVIDERS[name].onnx_name not in session.get_providers():
            raise ProviderError(
                f"provider {name} does not start on this machine (ONNX Runtime {ort.__version__} "
                "printed why); look at its options, or use provider cpu"
            )
        return session

    def _try_steps(self, name: str) -> None:
        """Run the graph, and see whether several tokens in one step are computed right.

        The WebGPU provider of 1.27 on a software GPU attends wrongly from five tokens on, that of
        onnxruntime-web 1.30 from 32; OpenVINO's of 1.24 takes the default of logits_to_keep for a
        constant.
        """
        architecture = self.package.manifest.architecture
        ids = [i % architecture.vocab_size for i in range(min(_TRIED, architecture.context_length))]
        keep = 0 if self._chunk is None else 1  # a static chunk has no logits of its own
        try:
            several = self.start(len(ids)).feed(ids, keep)
            sequence = self.start(len(ids))
            single = np.concatenate([sequence.feed([token_id]).copy() for token_id in ids])
        except Exception as error:  # ONNX Runtime raises what the provider says
            advice = suggestion(name, self.package.manifest.graph.flavour)
            raise ProviderError(
                f"{self.package.model_path} cannot be run on {name}"
                f"{advice or '; use provider cpu, or export another recipe'}: "
                f"ONNX Runtime {ort.__version__} says {_reason(error)}"
            ) from error
        self.last_row_only = keep == 0 and len(several) < len(ids)
        apart = np.abs(several - single[-len(several) :]).max()
        if not apart <= _TOLERATED * single.std():  # NaN is not
            self.step_limit = 1

    def start(self, capacity: int) -> FedSequence:
        """A new empty sequence with room for `capacity` tokens (at most the context length)."""
        if self._chunk is not None:
            return StaticSequence(self.package.manifest, self.onnx, self._chunk, capacity)
        return TokenSequence(self, capacity)


def _reason(error: Exception) -> str:
    """What ONNX Runtime says, in one line: the end of it, where the reason stands."""
    line = " ".join(str(error).split())
    return line if len(line) <= _REASON_LENGTH else f"... {line[-_REASON_LENGTH:]}"


def _session_options(threads: int | None, prepack: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads or 0  # 0: one for each physical core
    options.enable_mem_pattern = False  # plans memory per input shape; ours change every step
    # Unsigned weights are exact everywhere and slower where signed ones are.
    unsigned = "1" if signed_weights_overflow() else "0"
    options.add_session_config_entry("session.x64quantprecision", unsigned)
    if not prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


class TokenSequence:
    """One sequence: the tokens fed so far and their cache. Not to be shared by threads."""

    def __init__(self, session: Session, capacity: int) -> None:
        manifest = session.package.manifest
        self._architecture = manifest.architecture
        self._graph = manifest.graph
        self._onnx = session.onnx
        self._step_limit, self._last_row_only = session.step_limit, session.last_row_only
        capacity = min(capacity, self._architecture.context_length)
        kind = SharedCache if self._graph.cache == "shared" else ConcatCache
        self._cache: Cache = kind(self._architecture, self._graph, capacity, session.device)
        self._binding = session.onnx.io_binding()
        self._mask = np.ones((1, capacity), np.int64)
        self._positions = np.arange(capacity, dtype=np.int64)[None]
        # Where one position's logits go, step after step; the first output that is bound.
        vocab = self._architecture.vocab_size
        self._logits = np.empty((1, vocab), np.float32)
        self._logits_value = ort.OrtValue.ortvalue_from_numpy(self._logits[None])
        self.ids: list[int] = []

    def __del__(self) -> None:
        # What lies on a device has to go before its session, or the process crashes (seen with
        # onnxruntime-webgpu 1.27); this may be the last that holds the session.
        for name in ("_cache", "_binding"):
            self.__dict__.pop(name, None)

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return self._cache.length

    @property
    def capacity(self) -> int:
        """Tokens that the cache has room for."""
        return self._cache.capacity

    def feed(self, ids: Sequence[int], keep: int = 1) -> npt.NDArray[np.float32]:
        """Feed `ids` in one step; logits [keep, vocab] of the last `keep` positions (0: of all).

        A single row is overwritten by the next call. Raises ContextOverflowError if the ids do
        not fit the cache; nothing is fed then.
        """
        self._require_room(len(ids))
        if len(ids) > 1 and (self._step_limit or (self._last_row_only and keep != 1)):
            # Rows that are wanted come one by one; the tokens before them in one step if it may.
            together = max(len(ids) - keep, 0) if keep and not self._step_limit else 0
            if together:
                self.feed(ids[:together])
            rows = [self.feed([token_id]).copy() for token_id in ids[together:]]
            return np.concatenate(rows[-keep:])
        past, total = self.length, self.length + len(ids)
        names = self._graph.names
        # Every array and OrtValue stays referenced until the run is over: ONNX Runtime's binding
        # does not keep the memory alive.
        inputs = {
            names.input_ids: np.array([ids], np.int64),
            names.attention_mask: self._mask[:, :total],
        }
        if names.position_ids is not None:
            inputs[names.position_ids] = self._positions[:, past:total]
        if names.logits_to_keep is not None:
            inputs[names.logits_to_keep] = np.array([keep], np.int64)
        values = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in inputs.items()}
        for name, value in values.items():
            self._binding.bind_ortvalue_input(name, value)
        one_row = len(ids) == 1 or (keep == 1 and names.logits_to_keep is not None)
        if one_row:
            self._binding.bind_ortvalue_output(names.logits, self._logits_value)
        else:  # several rows are more than the graph declares, so ONNX Runtime allocates them
            self._binding.bind_output(names.logits)
        self._cache.bind(self._binding)
        self._onnx.run_with_iobinding(self._binding)
        self._cache.advance(self._binding, len(ids))
        self.ids.extend(ids)
        if one_row:
            return self._logits
        logits: npt.NDArray[np.float32] = self._binding.get_outputs()[0].numpy()[0]
        return logits[-keep:] if keep else logits

    def prefill(
        self,
        ids: Sequence[int],
        chunk: int = PREFILL_CHUNK,
        should_stop: Callable[[], bool] | None = None,
    ) -> npt.NDArray[np.float32] | None:
        """Feed a prompt in chunks; logits [vocab] after its last token, None if stopped before.

        Whatever the chunks, the logits are the same, to the bit on one machine. ONNX Runtime's
        kernels take rows in small groups, and a remainder or a lone row by other instructions; in
        quantized graphs the difference in the last bit grows to a rounding step. So a chunk
        starts at a multiple of ROW_GROUP, and no row is alone behind others: where one would be,
        tokens before it are fed again, or before the others.
        """
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; it must be at least 1")
        self._require_room(len(ids))
        logits = None
        for start in range(0, len(ids), chunk):
            if should_stop is not None and should_stop():
                return None
            part = list(ids[start : start + chunk])
            again = self.length % ROW_GROUP
            if len(part) + again == 1 and self.length:
                again = ROW_GROUP
            part = [*self.ids[self.length - again :], *part]
            self.trim(self.length - again)
            if len(part) > 1 and len(part) % _ROW_TILE == 1:
                early = len(part) - 1 - ROW_GROUP
                self.feed(part[:early])
                part = part[early:]
            logits = self.feed(part)[-1]
        return logits

    def trim(self, length: int) -> None:
        """Forget all tokens from number `length` on."""
        self._cache.trim(length)
        del self.ids[length:]

    def _require_room(self, tokens: int) -> None:
        if not 0 < tokens <= self.capacity - self.length:
            raise ContextOverflowError(
                f"{tokens} more tokens do not fit behind {self.length} in a cache of "
                f"{self.capacity}"
            )


FedSequence = TokenSequence | StaticSequence
