"""The compiled core: bytes in, bytes out. No clock, socket, file, log or random in here."""

from fastcore.build import SAFE

__all__ = ["SAFE"]
