from typing import final

from fastcore.core import Core

@final
class Pair:
    quote: Core
    hedge: Core
    def __init__(self, quote: Core, hedge: Core) -> None: ...
    def settle(self, now_ns: int) -> int: ...
    def last_told(self) -> dict[str, int]: ...
