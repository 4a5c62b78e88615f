from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.core import Core
from fastcore.latency import Histogram
from fastcore.matching import SimVenue

class Drive:
    core: Core
    venue: SimVenue
    now_ns: int
    messages: int
    answers: int
    best_latency: Histogram
    depth_latency: Histogram
    other_latency: Histogram
    level_latency: Histogram
    timed_levels: int
    best_outs: int
    depth_outs: int
    def __init__(
        self,
        core: Core,
        *,
        entry_latency_ns: int,
        response_latency_ns: int,
        maker_fee_ppm: int = 200,
        taker_fee_ppm: int = 500,
    ) -> None: ...
    def set_ticks(self, capsule: object, ns_per_tick: float) -> None: ...
    def start(self, now_ns: int, venue_minus_recv_ns: int = 0) -> None: ...
    def run_rows(self, columns: tuple[npt.NDArray[Any], ...]) -> int: ...
    def run_frames(
        self,
        arena: bytes | npt.NDArray[np.uint8],
        offsets: npt.NDArray[np.int64],
        recv_ts_ns: npt.NDArray[np.int64],
    ) -> int: ...
    def finish(self) -> None: ...
    def latency_summary(self) -> dict[str, Any]: ...
