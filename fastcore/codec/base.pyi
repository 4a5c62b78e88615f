class DecoderBase:
    """Bytes of one instrument into events."""

class EncoderBase:
    """Orders of one instrument into frames; never shows its key or its secret."""
    def payload_bytes(self) -> bytes: ...
