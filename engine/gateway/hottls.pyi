from engine.gateway.tls import TlsEnds

class TlsPipe:
    error: str

    def __init__(self, ends: TlsEnds) -> None: ...
