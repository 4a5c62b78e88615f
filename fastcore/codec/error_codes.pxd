# cython: language_level=3
"""What the venues' error numbers mean for us; every number that we act on stands here.

Binance's are negative, Bybit's positive, so one table serves both. A number that is not here is a
plain refusal: the request was not carried out, and asking again in the same words is no use.
`status` is HTTP-like: Binance sends it, of Bybit's codes bybit_status makes it.

                        Binance (spot, USD-M)          Bybit v5
    may be carried out  408, 5xx, -1006, -1007         10000, 10016
    id is taken         -4116 (USD-M)                  110072, 170141
    too fast            418, 429, -1003, -1015         10006, 10018, 10403, 10429, 20003, 170005,
                                                       170222
    clock               -1021                          10002
    no such order       -2013                          110001, 170213
    post-only refused   -2010 (spot), -5022 (USD-M)    170218 (spot; else the `order` push says it)
    too many amends     -5026 (USD-M)

Sources: binance-spot-api-docs, errors.md; developers.binance.com, usds-margined-futures, Error
Code; bybit-exchange.github.io/docs/v5, error codes, rate limits.
"""
from libc.stdint cimport int64_t


cdef inline bint is_ambiguous(int status, int code) noexcept nogil:
    """The order may live all the same: only a query or a push knows. An id that is taken is one:
    ours are sent once each, so it is this very order that is there already."""
    return (status >= 500 or status == 408 or code == -1006 or code == -1007 or code == -4116
            or code == 110072 or code == 170141)


cdef inline bint is_too_fast(int status, int code) noexcept nogil:
    return (status == 429 or status == 418 or code == -1003 or code == -1015
            or is_too_fast_at_bybit(code))


cdef inline bint is_too_fast_at_bybit(int64_t code) noexcept nogil:
    """By account, address or session; 10403 and 10018 are the address's."""
    return (code == 10006 or code == 10018 or code == 10403 or code == 10429 or code == 20003
            or code == 170005 or code == 170222)


cdef inline bint is_of_address(int status, int code) noexcept nogil:
    """Of what is too fast: the limit is the whole address's, so until it ends nobody may knock.
    By the code where there is one: 429 is the status of an account's order limit, too."""
    if code > 0:
        return code == 10018 or code == 10403
    return status == 418 or code != -1015


cdef inline bint is_clock_refusal(int code) noexcept nogil:
    """Our timestamp is outside the venue's window."""
    return code == -1021 or code == 10002


cdef inline bint is_no_such_order(int code) noexcept nogil:
    return code == -2013 or code == 110001 or code == 170213


cdef inline bint is_post_only_refusal(int code) noexcept nogil:
    return code == -5022 or code == -2010 or code == 170218


cdef inline bint is_plain_refusal(int status, int code) noexcept nogil:
    """Nothing was carried out, whatever was asked. Bybit refuses what it has not accepted;
    Binance's refusal of an amend may have cancelled the order."""
    return code > 0 and not is_ambiguous(status, code) and not is_no_such_order(code)


cdef inline bint is_too_many_amends(int code) noexcept nogil:
    """Of this order: from now on it is cancelled and placed anew."""
    return code == -5026


cdef inline int bybit_status(int64_t code) noexcept nogil:
    """HTTP-like status of a retCode: rate limits 429, timeout and internal error 500."""
    if code == 0:
        return 200
    if is_too_fast_at_bybit(code):
        return 429
    return 500 if code == 10000 or code == 10016 else 400
