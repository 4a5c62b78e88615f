"""WebSocket framing in plain Python, written from RFC 6455 section 5.2: slow, and easy to read."""

from typing import Any

MALFORMED = -1
PAYLOAD_MAX = 16 * 1024 * 1024


def parse(buf: bytes) -> tuple[int, dict[str, Any]]:
    """(1 whole / 0 more bytes needed / -1 malformed, what the bytes told)."""
    fields: dict[str, Any] = dict.fromkeys(
        ("opcode", "fin", "rsv", "masked", "header_size", "payload_size"), 0
    )
    fields["payload"] = None
    if len(buf) < 1:
        return 0, fields
    fields["fin"], fields["rsv"] = buf[0] // 128, buf[0] // 16 % 8
    opcode = fields["opcode"] = buf[0] % 16
    if fields["rsv"] or opcode not in (0, 1, 2, 8, 9, 10):
        return MALFORMED, fields
    if opcode >= 8 and not fields["fin"]:
        return MALFORMED, fields
    if len(buf) < 2:
        return 0, fields
    fields["masked"] = buf[1] // 128
    short = buf[1] % 128
    if fields["masked"] or (opcode >= 8 and short > 125):
        return MALFORMED, fields
    extra = {126: 2, 127: 8}.get(short, 0)
    if extra == 8 and len(buf) > 2 and buf[2] >= 128:
        return MALFORMED, fields
    if len(buf) < 2 + extra:
        return 0, fields
    size = int.from_bytes(buf[2 : 2 + extra], "big") if extra else short
    if size < {0: 0, 2: 126, 8: 65536}[extra] or size > PAYLOAD_MAX:
        return MALFORMED, fields
    fields["header_size"], fields["payload_size"] = 2 + extra, size
    if len(buf) < 2 + extra + size:
        return 0, fields
    fields["payload"] = bytes(buf[2 + extra : 2 + extra + size])
    return 1, fields


def frame(opcode: int, payload: bytes, mask_key: int) -> bytes:
    """One whole masked client frame."""
    size = len(payload)
    if size < 126:
        length = bytes([128 + size])
    elif size < 65536:
        length = bytes([128 + 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([128 + 127]) + size.to_bytes(8, "big")
    key = mask_key.to_bytes(4, "big")
    masked = bytes(octet ^ key[index % 4] for index, octet in enumerate(payload))
    return bytes([128 + opcode]) + length + key + masked
