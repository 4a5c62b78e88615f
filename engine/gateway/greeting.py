"""The first words on a WebSocket: subscriptions and logons said, and their answers awaited.

Only then is a connection of use, and only then do the cores hear of it. What is no answer is data
that came early: it stays, in order, for the core. Neither the texts nor the URL are ever shown:
they may hold keys and signatures; nor is an answer, but for what the adapter says of it.
"""

import asyncio
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from websockets.frames import Frame, Opcode

from engine.errors import TickmakerError
from engine.gateway.handshake import Upgraded, strerror
from engine.gateway.tls import Stream, TlsStream
from engine.venues.base import ConnPlan, Said

EARLY_BYTES_MAX = 64 << 20  # data that came before the last answer


class _Part(NamedTuple):
    """One frame of the venue's: what it is, what it says, and its bytes as they came."""

    opcode: int
    is_last: bool
    payload: bytes
    raw: bytes


async def greet(upgraded: Upgraded, plan: ConnPlan, what: str, timeout_s: float) -> Upgraded:
    """Say the plan's texts and await its good answers; the socket is closed if that fails."""
    try:
        async with asyncio.timeout(timeout_s):
            leftover = await _greet(_stream_of(upgraded), upgraded.leftover, plan, what)
    except TimeoutError:
        upgraded.sock.close()
        raise TickmakerError(
            f"{what}: no answer to the first messages within {timeout_s:g} s",
            "check that the exchange runs and answers at this address",
        ) from None
    except (EOFError, ssl.SSLError, OSError) as error:
        upgraded.sock.close()
        why = strerror(error) if isinstance(error, OSError) and error.errno else "closed"
        raise TickmakerError(
            f"{what}: connection lost during the first messages: {why}",
            "check the exchange's log, and what is subscribed to",
        ) from None
    except BaseException:
        upgraded.sock.close()
        raise
    return upgraded._replace(leftover=leftover)


def _stream_of(upgraded: Upgraded) -> Stream:
    upgraded.sock.setblocking(False)
    if upgraded.tls is None:
        return Stream(upgraded.sock)
    return TlsStream(upgraded.sock, upgraded.tls)


class GreetingRefusedError(TickmakerError):
    """The venue's answer refuses what was said; `retry_utc_ms`: and the address, so long;
    `is_clock`: maybe for our time stamp."""

    def __init__(self, what: str, remedy: str, retry_utc_ms: int, is_clock: bool) -> None:
        super().__init__(what, remedy)
        self.retry_utc_ms = retry_utc_ms
        self.is_clock = is_clock


async def _greet(stream: Stream, rest: bytes, plan: ConnPlan, what: str) -> bytes:
    """The leftover. Where each text has its answer, the next waits for that: Bybit refuses a
    subscription that comes before the logon is answered."""
    is_in_turn = plan.answers >= len(plan.texts)
    unsaid = [_masked(Opcode.TEXT, text.encode()) for text in plan.texts]
    while unsaid:
        await stream.send(unsaid.pop(0))
        if is_in_turn:
            break
    early: list[bytes] = []
    early_bytes = answers = 0
    is_fragmented = False
    while answers < plan.answers:
        taken = 0
        for part in _parts(rest, what):
            taken += len(part.raw)
            if part.opcode == Opcode.PING:
                await stream.send(_masked(Opcode.PONG, part.payload))
            elif part.opcode == Opcode.CLOSE:
                raise _closed(part.payload, what)
            elif part.opcode == Opcode.PONG:
                pass
            elif not is_fragmented and part.is_last and _is_answer(part.payload, plan, what):
                answers += 1
                if unsaid:
                    await stream.send(unsaid.pop(0))
            else:
                early.append(part.raw)
                early_bytes += len(part.raw)
            if part.opcode < Opcode.CLOSE:  # control frames may stand between fragments
                is_fragmented = not part.is_last
            if answers == plan.answers:
                break
        rest = rest[taken:]
        if answers < plan.answers:
            if early_bytes + len(rest) > EARLY_BYTES_MAX:
                raise TickmakerError(f"{what}: much data, but no answer to the first messages",
                                     "check what is subscribed to")  # fmt: skip
            data = await stream.recv()
            if not data:
                raise EOFError
            rest += data
    return b"".join(early) + rest


def _is_answer(payload: bytes, plan: ConnPlan, what: str) -> bool:
    said, text = plan.read(payload)
    if said is Said.BAD:
        raise GreetingRefusedError(
            f"{what}: refused: {text}",
            "check the key, its permissions and address list, and what is subscribed to",
            plan.retry_utc_ms(payload),
            plan.is_clock(payload),
        )
    return said is Said.GOOD


def _parts(data: bytes, what: str) -> Iterator[_Part]:
    """The whole frames that `data` begins with (RFC 6455 section 5.2)."""
    at = 0
    while len(data) - at >= 2:
        first, second = data[at], data[at + 1]
        if first & 0x70 or second & 0x80:
            raise _malformed(what)  # extensions were never offered; a server never masks
        size, start = second & 0x7F, at + 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            if len(data) - start < wide:
                return
            size, start = int.from_bytes(data[start : start + wide], "big"), start + wide
        end = start + size
        if size > EARLY_BYTES_MAX:
            raise _malformed(what)
        if len(data) < end:
            return
        yield _Part(first & 0x0F, bool(first & 0x80), data[start:end], data[at:end])
        at = end


def _masked(opcode: Opcode, payload: bytes) -> bytes:
    return Frame(opcode, payload).serialize(mask=True)


def _closed(payload: bytes, what: str) -> TickmakerError:
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
    return TickmakerError(
        f"{what}: the venue closed the WebSocket with code {code} instead of answering",
        "check the exchange's log, and what is subscribed to",
    )


def _malformed(what: str) -> TickmakerError:
    return TickmakerError(
        f"{what}: malformed WebSocket frame",
        "check that this address is the exchange's WebSocket port",
    )
