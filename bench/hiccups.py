"""The machine's own stalls, measured beside the bench: after Gil Tene's jHiccup.

A busy loop reads the clock; the longest gap between two consecutive reads of each millisecond is
one sample. What a sample shows is time that the machine (hypervisor, interrupts, other processes)
took from whoever ran on that processor, so no latency below it can be held against a program.
"""

import ctypes

import numpy as np
import numpy.typing as npt

from bench import native

Samples = npt.NDArray[np.int64]


class Spinner:
    """The busy loop, in this process and on this processor, for as long as `spin` is told."""

    def __init__(self) -> None:
        function = ctypes.CDLL(str(native.library("hiccups"))).hiccups_spin
        function.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64]
        function.restype = ctypes.c_int64
        self._function = function

    def spin(self, duration_ms: int) -> Samples:
        """Longest gap of each millisecond, ns."""
        samples = np.ones(duration_ms + 1, np.int64)
        count = self._function(duration_ms * 1_000_000, samples.ctypes.data, len(samples))
        return samples[:count]

