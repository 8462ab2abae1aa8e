"""Writing the package that a limit on quality or size asks for."""

from __future__ import annotations

import dataclasses
import time

from gpt2_edge.errors import ExportError
from gpt2_edge.files.manifest import Manifest
from gpt2_edge_export.draft import Draft
from gpt2_edge_export.progress import stage
from gpt2_edge_export.quantize import RoundedWeights
from gpt2_edge_export.search import Candidate, frontier, matrix_names, sensitivities
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
    config = draft.checkpoint.config
    if max_megabytes is not None:  # before minutes of calibration
        coarsest = Candidate(tuple(matrix_names(config)), 0, 0).recipe()
        smallest = draft.planned(coarsest).blank_size() / 1e6
        if smallest > max_megabytes:
            raise ExportError(
                f"4 bits everywhere make a model file of {smallest:.2f} MB, more than --max-size "
                f"{max_megabytes:g}; raise it"
            )
    ids = draft.calibration_windows(calibration)
    source = RoundedWeights(draft.checkpoint)
    candidates = frontier(sensitivities(source, ids), source.config)
    most = 1 if max_kl is None else _ATTEMPTS + 1  # the one chosen may have to be written again
    attempts = _Attempts(draft, calibration, report_text, candidates, most)
    if max_kl is None:
        assert max_megabytes is not None
        chosen = attempts.under_size(max_megabytes)
    else:
        chosen = attempts.under_kl(max_kl)
    manifest = attempts.written(chosen)
    size = draft.model_bytes() / 1e6
    if max_kl is not None and max_megabytes is not None and size > max_megabytes:
        raise ExportError(
            f"the smallest model file with a mean KL divergence under {max_kl:g} has "
            f"{size:.2f} MB, more than --max-size {max_megabytes:g}; raise one of the limits"
        )
    return manifest, tuple(candidates)


class _Attempts:
    """Candidates written and measured; the folder holds the one written last."""

    def __init__(
        self,
        draft: Draft,
        calibration: Text,
        report_text: Text,
        candidates: list[Candidate],
        most: int = 1,
    ) -> None:
        self._draft, self._calibration, self._text = draft, calibration, report_text
        self._candidates = candidates
        self._most, self._made, self._seconds = most, 0, 0.0
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
        """The best candidate whose model file has at most `megabytes`, which one has."""
        last = len(self._candidates) - 1
        # Everything in the file but the matrices: norms, biases, positions, the graph.
        rest = self._size(last) - self._candidates[last].bytes
        for number, candidate in enumerate(self._candidates):
            about = candidate.bytes + rest  # but for what lies between tensors of a large file
            if about <= 1e6 * megabytes and self._size(number) <= 1e6 * megabytes:
                return number
        return last

    def written(self, number: int) -> Manifest:
        """The manifest of a candidate, which is in the folder then."""
        self._measure(number)
        assert self._last is not None
        return self._last[1]

    def _size(self, number: int) -> int:
        return self._draft.planned(self._candidates[number].recipe()).blank_size()

    def _largest_predicted_under(self, kl: float, first: int, end: int) -> int:
        """The last candidate of [first, end) whose predicted KL is at most `kl`, else the first."""
        return max(
            (n for n in range(first, end) if self._candidates[n].predicted_kl <= kl), default=first
        )

    def _measure(self, number: int) -> float:
        if self._last is None or self._last[0] != number:
            self._made += 1
            started = time.perf_counter()
            with stage(self._stage()):
                manifest = self._write(number)
            self._seconds = time.perf_counter() - started
            self._last = (number, manifest)
            assert manifest.quality is not None
            self._candidates[number] = dataclasses.replace(
                self._candidates[number], measured_kl=manifest.quality["mean_kl"]
            )
        kl = self._candidates[number].measured_kl
        assert kl is not None
        return kl

    def _write(self, number: int) -> Manifest:
        draft = self._draft.planned(self._candidates[number].recipe())
        manifest = draft.write(draft.weights(self._calibration))
        return draft.measure(manifest, self._text)

    def _stage(self) -> str:
        """Which attempt it is, for people who wait."""
        if self._most == 1:
            return ""
        text = f"attempt {self._made} of at most {self._most}"
        if not self._seconds:
            return text
        minutes, seconds = divmod(round(self._seconds), 60)
        return f"{text}, about {minutes}:{seconds:02} each"
