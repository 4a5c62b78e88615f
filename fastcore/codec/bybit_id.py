"""Ids of Bybit's orders and executions as the decoder makes numbers of them (bybit_value.pxd), for
what is read over REST: a row and an event then name the same trade.
"""

from fastcore.hash import hash64

ID_DIGITS_MAX = 19
ID_LIMIT = 1 << 62


def id_number(text: str) -> int:
    """A whole number below 2^62 stands for itself, any other text for the upper 62 bits of its
    hash64; -1: the text is empty."""
    if not text:
        return -1
    is_whole = text.isascii() and text.isdigit() and (text[0] != "0" or text == "0")
    if is_whole and len(text) <= ID_DIGITS_MAX and int(text) < ID_LIMIT:
        return int(text)
    return hash64(text.encode()) >> 2
