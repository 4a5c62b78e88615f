SETTINGS: tuple[str, ...]
REASONS: dict[int, str]

def check_settings(settings: object) -> None: ...

class Stops:
    reason: int
    is_exit_open: bool
    def __init__(self, settings: dict[str, int]) -> None: ...
    def due(
        self,
        position_lots: int,
        entry_px_ticks: float,
        entry_ns: int,
        bid_px: int,
        ask_px: int,
        now_ns: int,
    ) -> tuple[int, tuple[int, int, int, int] | None]: ...
    def exit_sent(self) -> None: ...
    def exit_done(self) -> None: ...
    def to_dict(self) -> dict[str, int]: ...
