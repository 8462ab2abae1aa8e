"""A graph that ONNX Runtime has loaded: what its runs and caches need to know of it."""

from __future__ import annotations

import onnxruntime as ort

from gpt2_edge.errors import GenerationError, PackageError, ProviderError
from gpt2_edge.files.package_folder import Package
from gpt2_edge.graph.check import reason


class LoadedGraph:
    """The graph of `package` on `provider`, whose memory is that of `device`.

    step_limit: of tokens in one step, None for none. last_row_only: it gives the logits of one
    position, whatever logits_to_keep says.
    """

    package: Package
    onnx: ort.InferenceSession
    provider: str
    device: str
    step_limit: int | None
    last_row_only: bool

    @property
    def prompts(self) -> LoadedGraph | None:
        """Another graph over the same cache, that all tokens of prompts go through; None: this."""
        return None

    def memory_error(self, rows: int, capacity: int) -> GenerationError:
        """What is raised where there is no memory for the cache of `rows` sequences."""
        tokens = min(capacity, self.package.manifest.architecture.context_length)
        each = f"{rows} caches" if rows > 1 else "a cache"
        return GenerationError(f"there is no memory for {each} of {tokens:,} tokens; ask for fewer")

    def run_error(self, error: BaseException) -> PackageError | ProviderError:
        """What is raised where a step of this session's graph failed with `error`."""
        kind = PackageError if self.provider == "cpu" else ProviderError
        return kind(
            f"{self.package.model_path} cannot be run on {self.provider}: ONNX Runtime "
            f"{ort.__version__} says {reason(error)}"
        )
