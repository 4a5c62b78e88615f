"""@strategy, and what it makes: a C function whose address the core calls.

    int32 f(const View*, const double* params, double* state, Target*)

A wrapper stands between the core and the user's function. It gives the four pointers their shapes,
catches whatever the function raises (division by zero, an index out of bounds, a refused quote)
and returns FAILED for it. No Python object and no lock of the interpreter is touched: the linked
machine code is searched for calls into Python, and refused if it has any.
"""

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from types import FunctionType
from typing import Any

import numpy as np
from numba import cfunc, njit, types
from numba.core import ir
from numba.core.errors import NumbaWarning
from numba.np.numpy_support import carray

from fastcore import strategy_layout
from fastcore.signals import SIGNALS
from fastcore.user.abi import (
    PARAMS_MAX,
    STATE_MAX,
    TARGET,
    TARGET_RECORD,
    VIEW,
    VIEW_LEVELS,
    VIEW_RECORD,
    ReadOnly,
    params_dtype,
    record,
)
from fastcore.user.check import check_source
from fastcore.user.errors import Source, StrategyError, source_of
from fastcore.user.explain import explained

# error_model="python": dividing by zero raises. boundscheck: so does an index out of bounds.
OPTIONS: dict[str, Any] = {"boundscheck": True, "error_model": "python", "nogil": True}
CODE_MAX = 2**31 - 1
_INTO_PYTHON = re.compile(r"@(?:\"?)(Py[A-Z_]\w*|_Py\w+|numba_(?:gil|rnd|get_\w*random)\w*)")


@dataclass(frozen=True)
class UserStrategy:
    """A compiled strategy: what Core is given as `user`. The address lives as long as this."""

    name: str
    address: int
    params: dict[str, float]  # with their defaults, in the order of the ABI
    signals: list[str]
    view_levels: int
    state_size: int
    source: str
    source_sha256: str
    path: str
    python: Callable[..., int] = field(repr=False)  # the same function, not compiled
    compiled: Any = field(repr=False, compare=False)

    @property
    def signal_mask(self) -> int:
        mask = 0
        for name in self.signals:
            mask |= int(SIGNALS[name])
        return mask

    def param_values(self, given: Mapping[str, float]) -> list[float]:
        """Values in the order of the ABI, defaults filled in; ValueError for what is not one."""
        for name in given:
            if name not in self.params:
                known = ", ".join(self.params) or "none"
                raise ValueError(f"Unknown parameter {name!r} of {self.name}; it has {known}")
        return [
            _finite(f"params.{name}", given.get(name, default))
            for name, default in self.params.items()
        ]

    def over(
        self,
        views: np.ndarray[Any, Any],
        params: Mapping[str, float] | None = None,
        state: np.ndarray[Any, Any] | None = None,
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The same machine code over an array of views, in order: (codes, targets).

        `views` is of dtype VIEW (see new_views). `state` goes in and comes out; without it, it
        starts at zero, as the core's does. A target that the core would refuse has the code
        FAILED and is empty.
        """
        if views.dtype.fields != VIEW.fields or views.ndim != 1:
            raise ValueError("Expected a one-dimensional array of views: see new_views(count)")
        views = np.ascontiguousarray(views)
        targets = np.zeros(len(views), TARGET)
        codes = np.zeros(len(views), np.int32)
        if state is None:
            state = np.zeros(self.state_size)
        if state.shape != (self.state_size,) or state.dtype != np.float64:
            raise ValueError(f"Expected {self.state_size} doubles of state, was {state.shape}")
        strategy_layout.call_rows(
            self.address, views.view(np.uint8), np.array(self.param_values(params or {})),
            state, targets.view(np.uint8), codes,
        )  # fmt: skip
        return codes, targets.view(np.recarray)


class Strategy:
    """A decorated function: in Python it is called as it was written; `compile()` makes it C."""

    def __init__(
        self, function: FunctionType, signals: Sequence[str], params: Mapping[str, float],
        state: int, levels: int,
    ) -> None:  # fmt: skip
        self.function = function
        self.source = source_of(function)
        self.signals = [signals] if isinstance(signals, str) else list(signals)
        self.state, self.levels = state, levels
        try:
            self.params = _declared(self.signals, params, state, levels)
        except ValueError as error:
            raise self.source.error(f"@strategy: {error}", line=_first_line(function)) from None
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, view: Any, params: Any, state: Any, target: Any) -> int:
        return int(self.function(view, params, state, target))

    def compile(self) -> UserStrategy:
        """Check and compile, a second or so; StrategyError says what is wrong and where."""
        dtype = params_dtype(list(self.params))
        check_source(
            self.source, self.function.__globals__, dtype, self.signals, self.levels, self.state
        )
        compiled = _compile(self.function, self.source, dtype, self.state)
        return UserStrategy(
            self.__name__, compiled.address, self.params, self.signals, self.levels, self.state,
            self.source.text, self.source.sha256, self.source.path, self.function, compiled,
        )  # fmt: skip


def strategy(
    misused: Any = None,
    *,
    signals: Sequence[str] = (),
    params: Mapping[str, float] | None = None,
    state: int = 0,
    levels: int = 1,
) -> Callable[[FunctionType], Strategy]:
    """Declare a strategy: the signals it reads (others are not computed), its parameters with
    their defaults, how many doubles of state it keeps, how many levels a side it looks at."""
    if misused is not None:
        raise StrategyError("@strategy needs its brackets: @strategy(signals=[...], params={...})")
    return lambda function: Strategy(_plain(function), signals, params or {}, state, levels)


def helper(function: Callable[..., Any]) -> Any:
    """Decorator of a function that strategies call: compiled alike, with the same checks."""
    return njit(**OPTIONS)(function)


# -- COLD ---


def _plain(function: Any) -> FunctionType:
    """A function that `def` made, or StrategyError."""
    if (
        not isinstance(function, FunctionType)
        or function.__name__ == "<lambda>"
        or function.__code__.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR)
    ):
        code = getattr(function, "__code__", None)
        raise StrategyError(
            "@strategy goes above a plain function, once: def my_quotes(view, params, state,"
            " target)",
            code.co_filename if code else "", code.co_firstlineno if code else 0,
        )  # fmt: skip
    return function


def _declared(signals: list[str], params: Any, state: Any, levels: Any) -> dict[str, float]:
    """The parameters, as floats; ValueError for a declaration that can't stand."""
    for name in signals:
        if name not in SIGNALS:
            raise ValueError(f"unknown signal {name!r}; there are {', '.join(SIGNALS)}")
    for name, low, high, value in (
        ("state", 0, STATE_MAX, state),
        ("levels", 1, VIEW_LEVELS, levels),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number {low} .. {high}, was {value!r}")
    if not isinstance(params, Mapping):
        raise ValueError("params is a table of names and their defaults, {'skew': 0.1}")
    if len(params) > PARAMS_MAX:
        raise ValueError(f"at most {PARAMS_MAX} params, were {len(params)}")
    for name in params:
        if not isinstance(name, str) or not re.fullmatch(r"[a-z]\w*", name):
            raise ValueError(f"a parameter's name is lower case, like half_spread; was {name!r}")
    return {name: _finite(f"params {name}", value) for name, value in params.items()}


def _finite(what: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError(f"{what} must be a finite number, was {value!r}")
    return float(value)


def _first_line(function: FunctionType) -> int:
    return function.__code__.co_firstlineno


def _compile(
    function: FunctionType, source: Source, params: np.dtype[Any], state_size: int
) -> Any:
    params_record = record(ReadOnly, params)
    inner = njit(**OPTIONS)(function)
    arguments = (
        VIEW_RECORD, params_record, types.Array(types.float64, 1, "C"), TARGET_RECORD,
    )  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumbaWarning)
            inner.compile(arguments)
            _check_returned(inner.overloads[arguments].signature.return_type, source)
            _check_whole(inner.overloads[arguments].type_annotation, source)
            compiled = cfunc(_c_signature(params_record), **OPTIONS)(_wrapper(inner, state_size))
    except StrategyError:
        raise
    except Exception as error:  # Numba raises many kinds, its own bugs among them
        raise explained(error, source) from None
    called = _INTO_PYTHON.search(compiled.inspect_llvm())
    if called:
        raise source.error(
            f"it calls back into Python ({called[1]}): numbers only, one by one; no printing, no"
            " dict or set, no assignment to slices, no random numbers"
        )
    return compiled


def _check_returned(kind: types.Type, source: Source) -> None:
    if isinstance(kind, types.Optional) or kind == types.none:
        raise source.error(
            f"{source.name} does not always return: end it with `return QUOTE` or"
            " `return STAND_ASIDE`"
        )
    if not isinstance(kind, types.Integer | types.Boolean):
        raise source.error(f"{source.name} must return QUOTE or STAND_ASIDE, was {kind}")


def _check_whole(annotation: Any, source: Source) -> None:
    """No float is stored where a whole number belongs: NaN would become any number."""
    kinds = annotation.typemap
    for block in annotation.blocks.values():
        for step in block.body:
            if not isinstance(step, ir.SetAttr | ir.SetItem | ir.StaticSetItem):
                continue
            into, value = kinds[step.target.name], kinds[step.value.name]
            if isinstance(into, types.Array):
                into = into.dtype
            if isinstance(value, types.Array):
                value = value.dtype
            takes_whole = isinstance(into, types.Record | types.Integer)
            if takes_whole and isinstance(value, types.Float):
                raise source.error(
                    "only whole numbers here: use quote_bid(target, px, qty) and quote_ask, which"
                    " round, or int(...)", line=step.loc.line,
                )  # fmt: skip


def _c_signature(params_record: types.Record) -> Any:
    pointer: Any = types.CPointer
    return types.int32(
        pointer(VIEW_RECORD), pointer(params_record), pointer(types.float64),
        pointer(TARGET_RECORD),
    )  # fmt: skip


def _wrapper(inner: Any, state_size: int) -> Callable[..., int]:
    def call(view: Any, params: Any, state: Any, target: Any) -> int:
        try:
            code = int(
                inner(
                    carray(view, 1)[0], carray(params, 1)[0], carray(state, (state_size,)),
                    carray(target, 1)[0],
                )
            )  # fmt: skip
        except Exception:
            return -1
        # A code is a C int: one that is not would be cut to another.
        return code if 0 <= code <= CODE_MAX else -1

    return call
