"""Writing the package that a limit on quality or size asks for."""

from __future__ import annotations

import dataclasses

from gpt2_edge.errors import ExportError
from gpt2_edge.manifest import Manifest
from gpt2_edge_export.draft import Draft
from gpt2_edge_export.onnx_builder import DATA_FILE, MODEL_FILE
from gpt2_edge_export.quantize import RoundedWeights
from gpt2_edge_export.search import Candidate, frontier, sensitivities
from gpt2_edge_export.texts import Text

_ATTEMPTS = 5
_CLOSE = 0.8  # of the limit: a package that uses so much of it is not worth another attempt
_MARGIN = 0.95  # aimed at, since the next attempt is predicted from the last


def write_mixed(
    draft: Draft,
    calibration: Text,
    report_text: Text,
    max_kl: float | None,
    max_megabytes: float | None,
) -> tuple[Manifest, tuple[Candidate, ...]]:
    """Write the smallest package found under `max_kl`, or the best of at most `max_megabytes`.

    With both, KL has to stay under its limit at that size. max_megabytes (10^6 bytes) is that of
    the model file. Returns the manifest, with its measured quality, and the frontier with what was
    measured on it. Raises ExportError where no recipe meets the limits.
    """
    ids = draft.calibration_windows(calibration)
    source = RoundedWeights(draft.checkpoint)
    candidates = frontier(sensitivities(source, ids), source.config)
    attempts = _Attempts(draft, calibration, report_text, candidates)
    if max_kl is None:
        assert max_megabytes is not None
        chosen = attempts.under_size(max_megabytes)
    else:
        chosen = attempts.under_kl(max_kl)
    manifest = attempts.written(chosen)
    size = attempts.model_bytes() / 1e6
    if max_megabytes is not None and size > max_megabytes:
        raise ExportError(
            f"the smallest model file with a mean KL divergence under {max_kl:g} has "
            f"{size:.2f} MB, more than --max-size {max_megabytes:g}; raise one of the limits"
        )
    return manifest, tuple(candidates)


class _Attempts:
    """Candidates written and measured; the folder holds the one written last."""

    def __init__(
        self, draft: Draft, calibration: Text, report_text: Text, candidates: list[Candidate]
    ) -> None:
        self._draft, self._calibration, self._text = draft, calibration, report_text
        self._candidates = candidates
        self._last: tuple[int, Manifest] | None = None

    def under_kl(self, limit: float) -> int:
        """The smallest candidate measured under `limit`."""
        passed: int | None = None
        failed = len(self._candidates)
        target = _MARGIN * limit
        for _ in range(_ATTEMPTS):
            tried = self._largest_predicted_under(target, passed or 0, failed)
            if tried == passed:
                break
            kl = self._measure(tried)
            if kl <= limit:
                passed = tried
                if kl >= _CLOSE * limit:
                    break
            else:
                failed = tried
            # What is measured beyond the prediction (activations are rounded too) is expected of
            # the next one again.
            target = _MARGIN * limit - (kl - self._candidates[tried].predicted_kl)
            if failed - (passed if passed is not None else -1) <= 1:
                break
        if passed is None:
            passed = 0
            if self._measure(0) > limit:
                raise ExportError(
                    f"8 bits everywhere have a mean KL divergence of {self._measure(0):.5f} on "
                    f"{self._text.name}, more than --max-kl {limit:g}; raise it, or export fp32"
                )
        return passed

    def under_size(self, megabytes: float) -> int:
        """The best candidate whose model file has at most `megabytes`."""
        self._measure(len(self._candidates) - 1)
        # Everything in the file but the matrices: norms, biases, positions, the graph.
        rest = self.model_bytes() - self._candidates[-1].bytes
        for number, candidate in enumerate(self._candidates):
            if candidate.bytes + rest <= 1e6 * megabytes:
                return number
        raise ExportError(
            f"4 bits everywhere make a model file of {self.model_bytes() / 1e6:.2f} MB, more than "
            f"--max-size {megabytes:g}"
        )

    def written(self, number: int) -> Manifest:
        """The manifest of a candidate, which is in the folder then."""
        self._measure(number)
        assert self._last is not None
        return self._last[1]

    def model_bytes(self) -> int:
        """Size of the graph in the folder with its weights."""
        paths = [self._draft.folder / name for name in (MODEL_FILE, DATA_FILE)]
        return sum(path.stat().st_size for path in paths if path.exists())

    def _largest_predicted_under(self, kl: float, first: int, end: int) -> int:
        """The last candidate of [first, end) whose predicted KL is at most `kl`, else the first."""
        return max(
            (n for n in range(first, end) if self._candidates[n].predicted_kl <= kl), default=first
        )

    def _measure(self, number: int) -> float:
        if self._last is None or self._last[0] != number:
            recipe = self._candidates[number].recipe()
            weights = self._draft.weights(recipe, self._calibration)
            manifest = self._draft.write(recipe, weights)
            manifest = self._draft.measure(manifest, recipe, self._text)
            self._last = (number, manifest)
            assert manifest.quality is not None
            self._candidates[number] = dataclasses.replace(
                self._candidates[number], measured_kl=manifest.quality["mean_kl"]
            )
        kl = self._candidates[number].measured_kl
        assert kl is not None
        return kl
