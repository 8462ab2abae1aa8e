"""A linear layer under calibration: what goes in, what should come out, weights that give it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpt2_edge_export.calibrate.positive import solve_positive
from gpt2_edge_export.calibrate.rows import affine, as_matrix, centre, mean, reach

Floats = npt.NDArray[np.float32]

_RIDGE = 0.1  # of the mean variance: the pull towards the original weights


class Linear:
    """A linear layer x W + b, its inputs in the original stream and in the quantized one.

    `weight` and `inputs` are in folded units after `fold`; `original` stays as it is.
    """

    def __init__(self, weight: Floats, bias: Floats, original: Floats) -> None:
        self._weight, self._bias = weight, bias
        self._scale = np.ones(len(weight), np.float32)
        self.weight = weight
        self.original = original
        self.inputs = original

    def outputs(self) -> Floats:
        """What the original weights make of the original inputs."""
        return affine(self.original, self._weight, self._bias)

    def fold(self, migration: float) -> tuple[Floats, Floats]:
        """Shift and scale the inputs to (x - shift) / scale; both float32 [in].

        With a bias that takes up the shift, the function of `weight` stays the same.
        """
        shift = mean(self.original)
        far = reach(self.original, shift)
        weights = np.abs(self.weight).max(1)
        alive = (far > 0) & (weights > 0)
        scale = np.ones_like(far)
        scale[alive] = far[alive] ** migration / weights[alive] ** (1 - migration)
        scale[alive] /= np.exp(np.log(scale[alive]).mean()) if alive.any() else 1
        self.weight = self.weight * scale[:, None]
        self._scale = scale
        return shift, scale

    def covariance_with(self, wanted: Floats, more: bool) -> Floats:
        """Covariance [in, out] of inputs of mean zero and `wanted`.

        Without `more` that has to be what `weight` makes of the original inputs, but for a
        constant. Either of them is used up: inputs that hardly move need both sides to have a mean
        of zero.
        """
        inputs, (n_in, n_out) = as_matrix(self.inputs), self.weight.shape
        other = self.original if n_in < n_out and not more else wanted  # the narrower
        centre(other)
        covariance: Floats = inputs.T @ as_matrix(other) / np.float32(len(inputs))
        if other is self.original:
            covariance /= self._scale
            covariance = covariance @ self.weight
        return covariance


def refitted(weight: Floats, covariance: Floats, with_wanted: Floats) -> Floats:
    """The weights [in, out] near `weight` that make of the inputs what is nearest to the wanted.

    covariance: [in, in] of the inputs; with_wanted: [in, out], theirs with the outputs wanted.
    """
    ridge = covariance.copy()
    # Silent inputs have no variance; the added one keeps the system solvable.
    ridge[np.diag_indices(len(ridge))] += _RIDGE * np.mean(np.diag(ridge)) or 1.0
    refitted: Floats = weight + solve_positive(ridge, with_wanted - covariance @ weight)
    return refitted
