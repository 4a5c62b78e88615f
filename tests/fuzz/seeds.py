"""Where fuzzing starts: the documentation's messages as the decoder tests have them, and short
days, books and journals of seeded dice. All synthetic; nothing recorded from a venue."""

import re
import sys
from pathlib import Path
from random import Random

from fastcore import ws
from fastcore.journal import JournalWriter
from tests.fuzz import targets
from tests.support_bybit import SAMPLES as BYBIT

FRAMES = (
    "8105 48656c6c6f", "0103 48656c 8002 6c6f", "8900", "8a05 48656c6c6f", "8802 03e8",
    "827e 0100" + "00" * 256, "8185 37fa213d 7f9f4d5158", "c10548656c6c6f", "817f0000000000010000",
)  # fmt: skip
NUMBERS = (
    b"61800.20", b"0.00000001", b"-5", b"0", b"123456789012345678", b"61837.63000000", b"1e5",
    b"00.1", b"9999999999999.99999", b"0.1250", b"100.75", b"999999999999999999", b"5.",
)  # fmt: skip


def seeds(target: str) -> list[bytes]:
    """Inputs to begin with."""
    dice = Random(target)
    if target == "frames":
        ours = [ws.frame(1, bytes(size), 7) for size in (0, 1, 125, 126, 300)]
        return [bytes.fromhex(text) for text in FRAMES] + ours
    if target == "binance":
        texts = _binance_samples()
        return [bytes([which]) + text for text in texts for which in (0, 1)]
    if target == "bybit":
        return [bytes([which]) + text for text in BYBIT.values() for which in (0, 1)]
    if target == "number":
        ticks = range(len(targets.TICKS))
        return [bytes([tick]) + text for text in NUMBERS for tick in ticks]
    if target == "book":
        words = [bytes([128 + rule]) + _market_lines() for rule in range(4)]
        return words + [bytes([n]) + dice.randbytes(200) for n in range(64)]
    if target == "journal":
        return [b"\0" + _segment(dice)] + [bytes([n]) + dice.randbytes(90) for n in range(1, 24)]
    # A byte of a core's day says what comes next: mostly what a market mostly does.
    usual = [0, 0x80, 0x90, 0xA0, 1, 0x99, 2, 0x92, 3, 4, 5, 6, 7, 0xB7]
    return [
        bytes(
            [
                head,
                *(byte for _ in range(120) for byte in (dice.choice(usual), *dice.randbytes(2))),
            ]
        )
        for head in (0, 1, 2, 3, 64, 128, 129)
    ]


def words(target: str) -> list[bytes]:
    """Names and punctuation that mutations are made of, for targets that read text."""
    if target not in ("binance", "bybit", "book", "core"):
        return []
    found = {b'"', b'":', b'","', b"[]", b"{}", b"[[", b"]]", b"0.", b"true", b"null", b"\\u0041"}
    texts = [*BYBIT.values()] if target == "bybit" else _binance_samples()
    for text in texts:
        found.update(re.findall(rb'"[A-Za-z_]{1,24}":?', text))
    return sorted(found)


def _binance_samples() -> list[bytes]:
    tests = str(Path(__file__).resolve().parents[1])
    if tests not in sys.path:
        sys.path.append(tests)  # where test modules find their own support
    from tests import test_codec_binance, test_codec_binance_fast, test_codec_binance_user

    found = []
    for module in (test_codec_binance, test_codec_binance_fast, test_codec_binance_user):
        for value in vars(module).values():
            many = value.values() if isinstance(value, dict) else [value]
            found += [each for each in many if isinstance(each, bytes) and each[:1] == b"{"]
    return [text for text in dict.fromkeys(found) if len(text) < 3_000]


def _market_lines() -> bytes:
    """A snapshot and the diffs that follow on it, one a line."""
    lines = ['{"lastUpdateId":100,"E":1,"T":1,"bids":[["60000.0","1"]],"asks":[["60000.1","1"]]}']
    for last in range(100, 106):
        lines.append(
            f'{{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":{last + 1},"u":{last + 1},'
            f'"pu":{last},"b":[["59999.{last % 10}","0.5"]],"a":[["60000.{last % 10}","0"]]}}'
        )
        lines.append(
            f'{{"e":"bookTicker","u":{last + 1},"s":"BTCUSDT","b":"60000.0","B":"1","a":"60000.3",'
            '"A":"2","T":1,"E":1}'
        )
    return "\n".join(lines).encode()


def _segment(dice: Random) -> bytes:
    segment = bytearray(4_224)
    writer = JournalWriter(segment, 5)
    for kind in (1, 2, 4, 4, 6, 7):
        writer.append(kind, 0, dice.randbytes(24), 1_000 + kind, 999)
    return bytes(segment[: writer.used + 8])
