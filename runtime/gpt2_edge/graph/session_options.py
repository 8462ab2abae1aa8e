"""How ONNX Runtime is asked to load a graph of ours."""

from __future__ import annotations

import operator
import os

import numpy as np
import onnxruntime as ort

from gpt2_edge.errors import GenerationError
from gpt2_edge.graph.int8_overflow import signed_weights_overflow
from gpt2_edge.untrusted import shown

# Or one for each processor of a larger machine. Far more than there are processors only wait for
# each other: 256 on two take half a minute to load the sample.
_MOST_THREADS = 64
# Microseconds that a thread waits in a loop for work before it sleeps: longer than Python takes
# between two steps. ONNX Runtime's own measure is a number of rounds, which keeps a processor busy
# for 16 ms to half a second after the last token, as long as its instruction for a pause takes
# (its PR 27916; earlier versions know no other).
_SPIN_MICROSECONDS = 2000
_FATAL_ONLY = 4  # errors come as exceptions, whose words end in ours


def session_options(
    threads: int | None, prepack: bool = True, beside: bool = False
) -> ort.SessionOptions:
    """threads: of the CPU, None for one per physical core. prepack: see Session.

    beside: the session runs now and then, beside one that makes tokens. Its threads sleep as soon
    as it has run: in their loops they would take a processor from the other one's.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads or 0  # 0: one for each physical core
    options.enable_mem_pattern = False  # plans memory per input shape; ours change every step
    for key, value in config_entries().items():
        options.add_session_config_entry(key, value)
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_MICROSECONDS))
    if beside:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    if not prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def config_entries() -> dict[str, str]:
    """ONNX Runtime's configuration entries of every session; they may change how it optimizes."""
    return {
        # By its name or first bytes a file could be of ONNX Runtime's own format, unchecked.
        "session.load_model_format": "ONNX",
        # Unsigned weights are exact everywhere and slower where signed ones are.
        "session.x64quantprecision": "1" if signed_weights_overflow() else "0",
    }


def checked_threads(threads: int | None) -> int | None:
    """`threads` as ONNX Runtime can take it; GenerationError for anything else."""
    if threads is None:
        return None
    most = max(_MOST_THREADS, os.cpu_count() or 1)
    try:
        number = operator.index(threads)
    except TypeError:
        number = 0
    if isinstance(threads, (bool, np.bool_)) or not 1 <= number <= most:
        raise GenerationError(
            f"threads is {shown(threads)}; it must be a whole number from 1 to {most}"
        )
    return number
