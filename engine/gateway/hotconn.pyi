class HotConn:
    close_detail: int
    last_heard_ns: int
    reads: int
    bytes_received: int
    messages: int
    pings: int
    pongs: int
    pings_sent: int
    fragmented: int
    bounded: int
    stamps_discarded: int

    @property
    def is_open(self) -> bool: ...
    @property
    def is_encrypted(self) -> bool: ...
    @property
    def fileno(self) -> int: ...
    @property
    def close_text(self) -> str: ...
    @property
    def queued_bytes(self) -> int: ...
