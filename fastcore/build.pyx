# cython: language_level=3
"""Which build this is, so that a test can say what it tested."""
from fastcore.check cimport FC_IS_SAFE

SAFE = bool(FC_IS_SAFE)
