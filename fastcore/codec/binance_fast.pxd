# cython: language_level=3
"""The messages that come most, spelt as the venue spells them; see binance_fast.pyx."""
from libc.stdint cimport int64_t, uint8_t

from fastcore.codec.binance_frame cimport Frame
from fastcore.types cimport Event

cdef enum:
    SPELLING_SIZE_MAX = 128

cdef struct Spelling:          # constant bytes of a message
    int64_t size
    uint8_t[SPELLING_SIZE_MAX] data

cdef struct Spellings:         # of one symbol; see lay_down_spellings
    Spelling stream            # {"stream":"btcusdt@
    Spelling best              # ,"s":"BTCUSDT","b":"
    Spelling depth             # ,"s":"BTCUSDT","U":
    Spelling depth_pair        # ,"s":"BTCUSDT","ps":"BTCUSDT","st":1,"U":
    Spelling trade             # ,"s":"BTCUSDT","t":

cdef int lay_down_spellings(Spellings* spellings, bytes symbol) except -1

# buf[0:size] as bookTicker, depthUpdate or trade of our symbol into *event -> EV_*; 0: it is
# something else, or spelt in another way, or wrong: *event may be overwritten, and nothing is said.
cdef int fast_message(
    const Spellings* spellings, Frame* frame, Event* event, const uint8_t* buf, int64_t size
) noexcept nogil
