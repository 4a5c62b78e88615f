"""Prepared orders into a LimitBook, for whoever measures; see order_stream.pyx."""

from typing import Any

import numpy.typing as npt

from fastcore.latency import Histogram
from fastcore.limit_book import LimitBook

class OrderStream:
    def __init__(self, rows: npt.NDArray[Any]) -> None: ...
    @property
    def count(self) -> int: ...
    def set_ticks(self, capsule: object, ns_per_tick: float) -> None: ...
    def run(self, book: LimitBook, first: int, last: int) -> int: ...
    def run_timed(
        self, book: LimitBook, first: int, last: int, event_ns: Histogram
    ) -> int: ...
