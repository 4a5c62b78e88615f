# cython: language_level=3
"""The strategy ABI (declared in strategy_abi.pxd), checks of a Target, and the built-in
strategies by name; see strategy.pyx."""
from fastcore.strategy_abi cimport (
    PARAMS_MAX, STATE_MAX, STRATEGY_FAILED, STRATEGY_NOT_WARM, STRATEGY_QUOTE,
    STRATEGY_STAND_ASIDE, TARGET_GUARD, VIEW_VERSION, OwnQuote, Target, View, strategy_fn,
)

cdef void clear_target(Target* target) noexcept nogil
cdef int check_target(const Target* target, const View* view) noexcept nogil
cdef strategy_fn find_builtin(str name) except *
