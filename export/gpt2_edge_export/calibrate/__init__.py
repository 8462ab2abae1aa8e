"""Quantizing on a text: the model runs layer by layer, and what its activations say counts."""

from gpt2_edge_export.calibrate.calibration import CalibratedWeights, calibrate
from gpt2_edge_export.calibrate.effort import efforts
from gpt2_edge_export.calibrate.ranges import activation_ranges

__all__ = ["CalibratedWeights", "activation_ranges", "calibrate", "efforts"]
