class Orders:
    def __init__(
        self, requote_ticks: int, requote_ns: int, ack_timeout_ns: int, recv_window_ns: int
    ) -> None: ...
