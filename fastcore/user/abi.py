"""The ABI's structs as numpy dtypes and as Numba records, made from the compiled structs.

Nothing here is typed by hand but what a C type is called in numpy: names, offsets and sizes are
asked of fastcore.strategy_layout, so a field that is appended to View is there at the next start.

Numba's records are its documented way to read C structs (Numba: "@cfunc", "Dealing with pointers
and array memory"); ours are two subclasses that know what may be written. A view and its params
are read-only; a Target takes whole numbers only, because a float that is NaN becomes whatever the
processor makes of it, and that could be a price.
"""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors
from numba.core.datamodel import models, registry
from numba.core.imputils import lower_setattr_generic
from numba.np.numpy_support import from_dtype

from fastcore.strategy_layout import CONSTANTS, abi_layout

_SCALARS = {
    "px_t": "i8", "qty_t": "i8", "ns_t": "i8", "int64_t": "i8", "int32_t": "i4",
    "uint64_t": "u8", "double": "f8",
}  # fmt: skip
VIEW_LEVELS = CONSTANTS["VIEW_LEVELS"]
TARGET_LEVELS = CONSTANTS["TARGET_LEVELS"]
PARAMS_MAX = CONSTANTS["PARAMS_MAX"]
STATE_MAX = CONSTANTS["STATE_MAX"]


def _dtypes() -> dict[str, np.dtype[Any]]:
    made: dict[str, np.dtype[Any]] = {}
    for struct, (size, fields) in abi_layout().items():
        formats: list[Any] = []
        for _, c_type, _, field_size in fields:
            element = c_type.split()[0]
            scalar = made[element] if element in made else np.dtype(_SCALARS[element])
            count = field_size // scalar.itemsize
            formats.append((scalar, (count,)) if c_type.endswith("]") else scalar)
        made[struct] = np.dtype(
            {
                "names": [field[0] for field in fields],
                "formats": formats,
                "offsets": [field[2] for field in fields],
                "itemsize": size,
            },
            align=True,
        )
    return made


DTYPES = _dtypes()
VIEW = DTYPES["View"]
TARGET = DTYPES["Target"]
SIGNALS = DTYPES["SignalValues"]


def params_dtype(names: list[str]) -> np.dtype[Any]:
    """One double a parameter, in the order of declaration; a strategy without any has a dummy."""
    return np.dtype([(name, "f8") for name in names or ["_"]], align=True)


def new_views(count: int) -> np.ndarray[Any, Any]:
    """`count` views, all zero but version and size, to fill and give to UserStrategy.over."""
    views = np.zeros(count, VIEW).view(np.recarray)
    views["version"], views["size"] = CONSTANTS["VIEW_VERSION"], VIEW.itemsize
    return views


# -- WHAT NUMBA SEES ---


class ReadOnly(types.Record):
    """A record that a strategy may not write to."""


class Wanted(types.Record):
    """A record of Target: whole numbers only (compiled.py looks at what is assigned)."""


for _kind in (ReadOnly, Wanted):
    registry.register_default(_kind)(models.RecordModel)


def record(kind: type[types.Record], dtype: np.dtype[Any]) -> types.Record:
    """`dtype` as a record of `kind`, nested ones too."""
    fields: Any = []
    assert dtype.fields is not None
    for name, (element, offset, *_) in dtype.fields.items():
        base, shape = element.subdtype or (element, ())
        inner = record(kind, base) if base.fields else from_dtype(base)
        if shape:
            inner = types.NestedArray(dtype=inner, shape=shape)
            inner.mutable = kind is not ReadOnly
        fields.append((name, {"type": inner, "offset": offset}))
    return kind(fields, dtype.itemsize, dtype.isalignedstruct)


@lower_setattr_generic(ReadOnly)  # type: ignore[no-untyped-call, untyped-decorator]
def _refuse_write(context: Any, builder: Any, sig: Any, args: Any, attr: str) -> None:
    raise errors.NumbaTypeError(f"tickmaker: '{attr}' is read-only")


VIEW_RECORD = record(ReadOnly, VIEW)
TARGET_RECORD = record(Wanted, TARGET)
