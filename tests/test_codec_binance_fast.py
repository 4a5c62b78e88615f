"""The decoder's ways to read one message (usual spelling, vectors, general walk) agree always."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_data import tape_messages

from fastcore.codec.binance_decode import Decoder
from fastcore.types import Code, EventKind
from tests.reference import codec_binance as twin

USDM = ("BTCUSDT", "0.10", "0.001")


def usdm_depth(bids, asks, pair=""):
    text = (
        '{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1660228023977,'
        f'"T":1660228023966,"s":"BTCUSDT",{pair}"U":1801732832805,"u":1801732834115,'
        f'"pu":1801732832589,"b":{bids},"a":{asks}}}}}'
    )
    return text.replace(", ", ",").replace("'", '"').encode()


BOOK = usdm_depth(
    [[f"{61800 - i // 10}.{i % 10}0", f"{i % 13}.{i * 37 % 1000:03}"] for i in range(20)],
    [[f"{61801 + i}.{i % 10}", f"{i * 4}"] for i in range(20)],
)
SAMPLES = {
    "best": b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,'
    b'"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,'
    b'"E":1723161256314}}',
    "spot_best": b'{"u":400900217,"s":"BTCUSDT","b":"25351.90000000","B":"31.21000000",'
    b'"a":"25365.20000000","A":"40.66000000"}',
    "spot_best_wrapped": b'{"stream":"btcusdt@bookTicker","data":{"u":400900217,"s":"BTCUSDT",'
    b'"b":"25351.90000000","B":"31.21000000","a":"25365.20000000","A":"4.66000000"}}',
    "book": BOOK,
    "pair": usdm_depth([["0.1", "1"]], [], '"ps":"BTCUSDT","st":1,'),
    "spot_depth": b'{"e":"depthUpdate","E":1672515782136,"s":"BTCUSDT","U":157,"u":160,'
    b'"b":[["61837.60000000","0.00000000"],["2.0","12.50000000"]],"a":[]}',
    "trade": b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1660228023980,"T":1660228023973,'
    b'"s":"BTCUSDT","t":2691833663,"p":"24670.90","q":"0.022","X":"MARKET","m":true}}',
    "trade_plain": b'{"e":"trade","E":1660228023980,"T":1660228023973,"s":"BTCUSDT",'
    b'"t":2691833663,"p":"24670.90","q":"0.022","X":"MARKET","m":false}',
}
DECODERS = {
    instrument: (Decoder(*instrument), Decoder(*instrument, portable=True))
    for instrument in (USDM, ("BTCUSDT", "0.25", "1"), ("BTCUSDT", "0.00000001", "0.00000100"))
}


def decode_every_way(buf, instrument=USDM):
    """What all ways say alike; the twin may be stricter, and must agree otherwise."""
    usual, portable = DECODERS[instrument]
    decoded = usual.decode_bytes(buf)
    assert usual.decode_generally(buf) == decoded, buf
    assert portable.decode_bytes(buf) == decoded, buf
    assert portable.decode_generally(buf) == decoded, buf
    expected = twin.Decoder(*instrument).decode_bytes(buf)
    if b"\\" not in buf:
        if expected[0] > 0 or decoded[0] < 0:
            assert (decoded[0] > 0) == (expected[0] > 0), (buf, decoded, expected)
        if decoded[0] > 0 and expected[0] > 0:
            assert decoded == expected, buf
    return decoded


@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_usual_spelling_is_read_alike(sample):
    buf = SAMPLES[sample]
    kind, event = decode_every_way(buf)
    assert kind in (EventKind.BEST, EventKind.DEPTH, EventKind.TRADE)
    spaced = json.dumps(json.loads(buf)).encode()
    assert decode_every_way(spaced) == (kind, event)


@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_usual_spelling_cut_or_lengthened_is_malformed(sample):
    buf = SAMPLES[sample]
    for size in range(len(buf)):
        assert decode_every_way(buf[:size])[0] == Code.MALFORMED
    for more in (b"}", b"]", b",", b"\x00", b"{}", buf):
        assert decode_every_way(buf + more)[0] == Code.MALFORMED
    assert decode_every_way(buf + b" \r\n")[0] > 0


@pytest.mark.parametrize("sample", ["best", "pair", "spot_best_wrapped", "trade"])
def test_every_changed_byte_is_judged_alike(sample):
    original = SAMPLES[sample]
    for at in range(len(original)):
        for byte in b'0d9."}],@\x00':
            decode_every_way(original[:at] + bytes([byte]) + original[at + 1 :])


@settings(max_examples=300)
@given(st.data())
def test_damage_is_judged_alike(data):
    buf = bytearray(SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(buf) - 1))
        byte = data.draw(st.sampled_from(b'0189.-"{}[],: @eETsbu\n') | st.integers(0, 255))
        action = data.draw(st.sampled_from(["replace", "insert", "delete"]))
        buf[at : at + (action != "insert")] = bytes([byte] * (action != "delete"))
    decode_every_way(bytes(buf))


def number_texts():
    """Every count of digits before and behind the point, with and without zeros; and no numbers."""
    yield from ("0", "0.0", "00.1", "01", ".5", "5.", "", "-1", "-0.5", "1e5", "1.2.3", " 1", "x")
    for whole in range(1, 21):
        for part in range(14):
            yield "9" * whole + "." * (part > 0) + "7" * part
            for used in range(min(part, 8) + 1):
                behind = "." * (part > 0) + "5" * used + "0" * (part - used)
                yield from ("1234567"[:whole] + behind, "0" + behind)


NUMBERS = st.sampled_from(sorted(set(number_texts()), key=lambda text: (len(text), text)))
LEVELS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6)


@settings(max_examples=300)
@given(LEVELS, LEVELS, st.sampled_from(sorted(DECODERS)))
def test_any_levels_are_read_alike(bids, asks, instrument):
    decode_every_way(usdm_depth(list(map(list, bids)), list(map(list, asks))), instrument)


@pytest.mark.parametrize("instrument", sorted(DECODERS))
def test_every_number_is_read_alike(instrument):
    for text in sorted(set(number_texts())):
        tail = [["1.0", "1"]] * 4
        decode_every_way(usdm_depth([[text, "1"], *tail], [["1", text], *tail]), instrument)
        buf = SAMPLES["best"].replace(b"61800.20", text.encode()).replace(b"2.510", text.encode())
        decode_every_way(buf, instrument)


@settings(max_examples=200)
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.sampled_from(sorted(DECODERS)))
def test_any_best_is_read_alike(bid, bid_qty, ask, ask_qty, instrument):
    for sample in ("best", "spot_best", "spot_best_wrapped"):
        message = json.loads(SAMPLES[sample])
        message.get("data", message).update(b=bid, B=bid_qty, a=ask, A=ask_qty)
        decode_every_way(json.dumps(message, separators=(",", ":")).encode(), instrument)


@settings(max_examples=100)
@given(st.integers(0, 2**70) | st.integers(0, 10**15), st.booleans())
def test_any_update_id_and_time_is_read_alike(number, is_time):
    old = b"1660228023966" if is_time else b"1801732834115"
    decode_every_way(SAMPLES["book"].replace(old, str(number).encode()))
    decode_every_way(SAMPLES["best"].replace(b"5123107839020", str(number).encode()))
    decode_every_way(SAMPLES["best"].replace(b"1723161256314", str(number).encode()))


@pytest.mark.parametrize("levels", [1, 2, 3, 16384, 16385])
def test_levels_up_to_the_limit_are_read_alike(levels):
    buf = usdm_depth([["1.0", "1.000"]] * levels, [["9.0", "2"]] * 2)
    kind, depth = decode_every_way(buf)
    assert kind == (Code.FULL if levels > 16384 else EventKind.DEPTH)
    if kind > 0:
        assert (len(depth["bids"]), depth["asks"]) == (levels, [(90, 2000)] * 2)


@pytest.mark.parametrize(
    ("bids", "code"),
    [
        ('["1.0","1"],', Code.MALFORMED), ('["1.0","1"]]', Code.MALFORMED),
        (',["1.0","1"]', Code.MALFORMED), ('["1.0","1"]["1.0","1"]', Code.MALFORMED),
        ('["1.0","1"],["1.0","1.0005"]', Code.RANGE), ('["1.0","1"],7', Code.MALFORMED),
        ('["1.0","1",[]],["1.0","1"]', EventKind.DEPTH), ('["1.05","1"]', Code.RANGE),
        ('["1.0" ,"1"]', EventKind.DEPTH), ('["1.0","-1"],["1.0","1"]', Code.RANGE),
        ('["1.0","1"],["1.0","1"],[]', Code.MALFORMED), ('["1.0","01"]', Code.MALFORMED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("asks", ["", '["1.0","1"],' * 9 + '["1.0","1"]'])
def test_levels_spelt_otherwise_are_judged_alike(bids, code, asks):
    assert decode_every_way(usdm_depth(f"[{bids}]", f"[{asks}]"))[0] == code


@pytest.mark.parametrize(
    ("tape", "instrument"),
    [
        ("binance_usdm/ethusdt_20240808.gz", ("ETHUSDT", "0.01", "0.001")),
        ("binance_spot/btcusdt_20240808.gz", ("BTCUSDT", "0.01", "0.00001")),
        ("binance_coinm/btcusd_perp_20240808.gz", ("BTCUSD_PERP", "0.1", "1")),
    ],
)
def test_recorded_tape_is_read_alike(tape, instrument):
    decoder, portable = Decoder(*instrument), Decoder(*instrument, portable=True)
    for buf in tape_messages(tape, 7):
        decoded = decoder.decode_bytes(buf)
        assert decoded[0] > 0
        assert decoder.decode_generally(buf) == decoded
        assert portable.decode_bytes(buf) == decoded
