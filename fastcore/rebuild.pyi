from typing import Any, Final

import numpy.typing as npt

from fastcore.book import Book
from fastcore.sync import Sync

TOUCH_FIELDS: Final[tuple[str, ...]]

class Rebuild:
    book: Book
    sync: Sync
    anchor_update_id: int
    applied: int
    def __init__(self, rule: int) -> None: ...
    def run(self, columns: tuple[npt.NDArray[Any], ...], touches: npt.NDArray[Any]) -> int: ...
