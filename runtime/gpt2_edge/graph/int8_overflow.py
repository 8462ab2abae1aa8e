"""Whether this processor overflows when ONNX Runtime multiplies signed 8-bit weights.

AVX2 without VNNI adds pairs of products of unsigned activations and signed weights in 16 bits,
which saturate; ONNX Runtime then has to make the weights unsigned, which costs speed elsewhere.
Asking it to compute one sum that would overflow tells better than a list of processors.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import onnxruntime as ort

# y = A B for A uint8 [2, 32] and B int8 [32, 16], all 127; tests build it anew and compare.
_PROBE = "int8_probe.onnx"
_ROWS, _INNER, _WEIGHT = 2, 32, 127


@functools.cache
def signed_weights_overflow() -> bool:
    """True where the largest possible sum does not come out exact."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    model = Path(__file__).with_name(_PROBE).read_bytes()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    activations = np.full((_ROWS, _INNER), 255, np.uint8)
    (sums,) = session.run(None, {"a": activations})
    return bool(np.any(sums != 255 * _WEIGHT * _INNER))
