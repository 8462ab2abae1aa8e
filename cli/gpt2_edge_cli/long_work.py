"""What the command sets for its own process before hours of arithmetic; a library must not.

Measured on an export of 124M: a tenth less time for the first, a twelfth less for the second.
"""

from __future__ import annotations

import ctypes
import os
import sys

# From malloc.h of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEPT = 1 << 30  # bytes of freed memory that stay with the process
# 2^20 cycles, 0.4 ms, in place of 2^26: as long as this, a thread of OpenBLAS waits in a loop for
# the next product, and takes the processor from ONNX Runtime's.
_OPENBLAS_TIMEOUT = "20"


def prepare() -> None:
    """Keep freed memory, and let idle threads sleep. To be called before NumPy is imported."""
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", _OPENBLAS_TIMEOUT)
    if sys.platform != "linux":
        return
    try:
        # Large arrays would each be mapped anew, and every page of them cleared by the kernel.
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
    except (OSError, AttributeError):  # another C library
        return
