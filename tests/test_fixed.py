"""Decimal text <-> units: exact or refused, equal to the Decimal twin."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcore import fixed as fast
from tests.reference import fixed as twin

STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=400)
TICKS = ["0.10", "0.01", "0.00001", "0.00000001", "1", "10", "0.25", "0.5", "5", "0.000000000001"]


BEHIND = b'","2.507"]],"a":[['


class InBuffer:
    """The fast module reading text inside a message: there its fast path is taken."""

    scale, format = staticmethod(fast.scale), staticmethod(fast.format)

    @staticmethod
    def parse(text, tick):
        return fast.parse(text, tick, BEHIND)


@pytest.fixture(params=[fast, InBuffer, twin], ids=["at_end", "in_buffer", "reference"])
def fixed(request):
    return request.param


@pytest.mark.parametrize(
    ("text", "tick", "units"),
    [
        (b"61800.20", "0.10", 618002),
        (b"61837.63000000", "0.01", 6183763),
        (b"3.78826000", "0.00001", 378826),
        (b"2467.10", "0.1", 24671),
        (b"0", "0.10", 0),
        (b"0.00000000", "0.01", 0),
        (b"-0.01000000", "0.00000001", -1000000),
        (b"-0", "1", 0),
        (b"100.75", "0.25", 403),
        (b"120", "10", 12),
        (b"7", "0.001", 7000),
        (b"12345678.12345678", "0.00000001", 1234567812345678),
        (b"123456789.5", "0.1", 1234567895),
        (b"999999999999999999", "1", 999999999999999999),
        (b"99999999999999999.9", "0.1", 999999999999999999),
        (b"1." + b"0" * 300, "0.1", 10),
    ],
)
def test_parse_known_text_gives_units(fixed, text, tick, units):
    assert fixed.parse(text, tick) == units


@pytest.mark.parametrize(
    "text",
    [
        b"", b"-", b".", b".5", b"5.", b"+1", b"1e3", b"01", b"00", b"1.2.3", b"--1", b" 1", b"1 ",
        b"1,5", b"0x1", b"nan", b"1.-5", b"-.5", b"1\x00", b"\xff", b"1:0", b"1/0",
    ],
)  # fmt: skip
def test_parse_no_decimal_is_refused(fixed, text):
    for tick in ("0.10", "0.000000000001"):
        for tail in (b"", b"x"):
            with pytest.raises(ValueError, match="not a plain decimal"):
                fixed.parse(text + tail, tick)


@pytest.mark.parametrize(
    ("text", "tick"),
    [
        (b"61800.25", "0.10"),
        (b"61800.200000001", "0.10"),
        (b"61800.2000000001", "0.10"),
        (b"0.001", "1"),
        (b"100.80", "0.25"),
        (b"125", "10"),
        (b"1000000000000000000", "1"),
        (b"100000000000000000", "0.1"),
        (b"18446744073709551616", "1"),
        (b"184467440737095516160", "0.1"),
        (b"1" + b"0" * 300, "1"),
        (b"9" * 20 + b".5", "0.1"),
    ],
)
def test_parse_off_grid_or_too_large_is_refused(fixed, text, tick):
    for sign in (b"", b"-"):
        with pytest.raises(ValueError, match="too large, or not a multiple"):
            fixed.parse(sign + text, tick)


@pytest.mark.parametrize(
    ("tick", "expected"),
    [
        ("0.10", (1, 1)),
        ("0.1000000000000000", (1, 1)),
        ("0.25", (2, 25)),
        ("1", (0, 1)),
        ("1.00", (0, 1)),
        ("10", (0, 10)),
        ("12.50", (1, 125)),
    ],
)
def test_scale_of_tick_drops_trailing_zeros(fixed, tick, expected):
    assert fixed.scale(tick) == expected


@pytest.mark.parametrize(
    "tick",
    ["", "0", "0.000", "-0.1", "1e-3", "01", ".1", "1.", "0.0000000000001", "1" * 19, "½", "a"],
)
def test_scale_of_bad_tick_raises(fixed, tick):
    with pytest.raises(ValueError, match=r"decimal|zero"):
        fixed.scale(tick)


@pytest.mark.parametrize(
    ("units", "tick", "text"),
    [
        (618002, "0.10", b"61800.2"),
        (10, "0.001", b"0.010"),
        (0, "0.01", b"0.00"),
        (-5, "0.01", b"-0.05"),
        (12, "10", b"120"),
        (403, "0.25", b"100.75"),
        (0, "1", b"0"),
        (10**18 - 1, "1", b"9" * 18),
    ],
)
def test_format_known_units_gives_text(fixed, units, tick, text):
    assert fixed.format(units, tick) == text


@pytest.mark.parametrize(
    ("units", "tick"), [(10**18, "1"), (-(10**18), "0.1"), (10**17, "10"), (-(2**63), "1")]
)
def test_format_too_large_raises(fixed, units, tick):
    with pytest.raises(ValueError, match="digits"):
        fixed.format(units, tick)


@STEADY
@given(st.integers(-(10**18) + 1, 10**18 - 1), st.sampled_from(TICKS))
def test_format_then_parse_gives_units_back(units, tick):
    step = fast.scale(tick)[1]
    units = -(-units // step) if units < 0 else units // step
    text = fast.format(units, tick)
    assert text == twin.format(units, tick)
    assert fast.parse(text, tick) == units == twin.parse(text, tick)
    assert InBuffer.parse(text, tick) == units


def verdict(module, text, tick):
    try:
        return module.parse(text, tick)
    except ValueError as error:
        return "not plain" if "plain" in str(error) else "off grid"


DECIMALS = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?", fullmatch=True)


@STEADY
@given(DECIMALS | st.text("0123456789.-", max_size=24), st.sampled_from(TICKS))
def test_parse_any_text_agrees_with_decimal(text, tick):
    raw = text.encode("ascii", "replace")
    assert verdict(fast, raw, tick) == verdict(InBuffer, raw, tick) == verdict(twin, raw, tick)


@pytest.mark.parametrize("whole_count", range(1, 19))
@pytest.mark.parametrize("part_count", range(18))
def test_parse_every_split_of_digits_agrees_with_decimal(whole_count, part_count):
    """The fast path is chosen by these two counts and by what stands behind."""
    digits = "918273645546372819918273645546372819"
    text = digits[:whole_count] + ("." + digits[whole_count:][:part_count] if part_count else "")
    for tick in ("0.10", "0.00000001", "1", "0.25"):
        for zeros in ("", "0", "00000000", "0" * 20):
            raw = (text + ("." if zeros and not part_count else "") + zeros).encode()
            expected = verdict(twin, raw, tick)
            assert verdict(fast, raw, tick) == expected, (raw, tick)
            assert verdict(InBuffer, raw, tick) == expected, (raw, tick)
