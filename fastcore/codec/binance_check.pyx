# cython: language_level=3
"""What both codecs ask of the words that they are built with. Cold: ValueError, and why."""
from libc.stdint cimport int64_t

from fastcore.codec.binance_reply cimport CLIENT_PREFIX_SIZE
from fastcore.fixed cimport scale_from_text
from fastcore.types cimport OK, Scale


cdef int check_symbol(str symbol) except -1:
    if not 0 < len(symbol) <= SYMBOL_SIZE_MAX or not all(
            "A" <= char <= "Z" or "0" <= char <= "9" or char == "_" for char in symbol):
        raise ValueError(
            f"symbol must be 1 to {SYMBOL_SIZE_MAX} of A-Z, 0-9 and _, as in 'BTCUSDT', "
            f"not {symbol!r}")
    return 0


cdef int check_asset(str name, str asset) except -1:
    if len(asset) > SYMBOL_SIZE_MAX or not all(
            "A" <= char <= "Z" or "0" <= char <= "9" for char in asset):
        raise ValueError(
            f"{name} must be at most {SYMBOL_SIZE_MAX} of A-Z and 0-9, as in 'USDT', not {asset!r}")
    return 0


cdef int check_scale(str name, str text, Scale* scale) except -1:
    cdef bytes raw = text.encode("ascii", "replace")
    if scale_from_text(raw, len(raw), scale) != OK:
        raise ValueError(f"{name} must be a positive plain decimal such as '0.10', not {text!r}")
    return 0


cdef int check_client_prefix(str prefix) except -1:
    if len(prefix) != CLIENT_PREFIX_SIZE or not all(
            "a" <= char <= "z" or "0" <= char <= "9" or char == "-" for char in prefix):
        raise ValueError(
            f"client_prefix must be {CLIENT_PREFIX_SIZE} of a-z, 0-9 and -, as in "
            f"'tm0123abcd-01-', not {prefix!r}")
    return 0


cdef int check_credential(bytes api_key, bytes secret) except -1:
    if not 0 < len(api_key) <= API_KEY_SIZE_MAX or not all(
            97 <= byte <= 122 or 65 <= byte <= 90 or 48 <= byte <= 57 or byte in b"_-"
            for byte in api_key):
        raise ValueError(f"api_key must be 1 to {API_KEY_SIZE_MAX} of A-Z, a-z, 0-9, _ and -")
    if not 0 < len(secret) <= SECRET_SIZE_MAX:
        raise ValueError(f"secret must be 1 to {SECRET_SIZE_MAX} bytes")
    return 0


cdef int check_recv_window(int64_t recv_window_ms) except -1:
    if not 0 < recv_window_ms <= RECV_WINDOW_MS_MAX:
        raise ValueError(f"recv_window_ms must be 1 to {RECV_WINDOW_MS_MAX}, not {recv_window_ms}")
    return 0
