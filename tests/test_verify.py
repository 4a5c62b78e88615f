"""`tickmaker verify` on a journal made at a desk: identical, and every way of not being so."""

import json
from pathlib import Path

import pytest
from support_core import Desk

from engine.errors import TickmakerError
from engine.replay.verify import verify_run
from fastcore.journal import KIND, OUT_HEADER, JournalWriter, read_segment
from fastcore.types import Command


def traded_desk() -> Desk:
    desk = Desk()
    desk.start()
    for params in desk.take_sent():
        desk.ack(params)
    for step in range(20):
        desk.timer()
        desk.best(f"60000.{step % 10}0", "1.000", f"60001.{step % 10}0", "1.500")
        for params in desk.take_sent():
            if "quantity" in params:
                desk.ack(params)
                desk.fill(params, "0.003", "0.003")
            else:
                desk.update(params, "CANCELED", "CANCELED")
    desk.collect(desk.core.command(Command.SHUTDOWN, desk.now_ns))
    return desk


@pytest.fixture(scope="module")
def segment() -> bytes:
    return bytes(traded_desk().segment)


def save(run_dir: Path, segment: bytes) -> Path:
    (run_dir / "journal" / "desk").mkdir(parents=True)
    (run_dir / "journal" / "desk" / "000000.jnl").write_bytes(segment)
    (run_dir / "config.json").write_text(json.dumps({"credential": {"kind": "none"}}))
    return run_dir


def test_a_journal_replays_identically(tmp_path: Path, segment: bytes) -> None:
    result = verify_run(save(tmp_path, segment))
    assert result["first_difference"] is None
    assert result["identical"] is True
    assert result["orders"] > 10
    assert result["messages"] > result["orders"]
    assert result["signatures_checked"] is False
    again = verify_run(save(tmp_path / "again", segment))
    assert again["sha256"] == result["sha256"]


@pytest.mark.parametrize("place", [0.01, 0.2, 0.5, 0.8, 0.99])
def test_a_flipped_byte_is_found_and_named(tmp_path: Path, segment: bytes, place: float) -> None:
    used = len(segment.rstrip(b"\0"))
    damaged = bytearray(segment)
    offset = 64 + int((used - 64) * place)
    damaged[offset] ^= 1
    result = verify_run(save(tmp_path, bytes(damaged)))
    assert result["identical"] is False
    assert "offset" in result["first_difference"]


def rewritten(segment: bytes, change: dict[int, bytes]) -> bytes:
    """The journal again, valid checksums throughout, with some payloads changed."""
    forged = bytearray(len(segment))
    writer = JournalWriter(forged)
    for _, kind, arg, seq, now_ns, recv_ts_ns, payload in read_segment(segment):
        writer.append(kind, arg, change.get(seq, bytes(payload)), now_ns, recv_ts_ns)
    return bytes(forged)


def records(segment: bytes, kind: int) -> list[tuple[int, bytes]]:
    return [(r[3], bytes(r[6])) for r in read_segment(segment) if r[1] == kind]


def test_an_order_with_another_price_is_the_first_difference(
    tmp_path: Path, segment: bytes
) -> None:
    seq, payload = records(segment, KIND["OUT"])[4]
    forged = rewritten(segment, {seq: payload.replace(b'"symbol":"BTC', b'"symbol":"ETH')})
    result = verify_run(save(tmp_path, forged))
    assert result["identical"] is False
    assert f"record {seq} (OUT" in result["first_difference"]
    assert "payload" in result["first_difference"]


def test_a_changed_input_changes_what_follows(tmp_path: Path, segment: bytes) -> None:
    frames = records(segment, KIND["FRAME"])
    seq, payload = next(f for f in frames if b'"b":"60000.50"' in f[1])
    forged = rewritten(segment, {seq: payload.replace(b'"b":"60000.50"', b'"b":"60000.90"')})
    result = verify_run(save(tmp_path, forged))
    assert result["identical"] is False


def test_a_journal_without_its_tail_is_not_identical(tmp_path: Path, segment: bytes) -> None:
    last_out = records(segment, KIND["OUT"])[-1][0]
    cut = bytearray(len(segment))
    writer = JournalWriter(cut)
    for _, kind, arg, seq, now_ns, recv_ts_ns, payload in read_segment(segment):
        if seq < last_out:
            writer.append(kind, arg, bytes(payload), now_ns, recv_ts_ns)
    result = verify_run(save(tmp_path, bytes(cut)))
    assert "ends before" in result["first_difference"]


def published(segment: bytes) -> list[tuple[int, int]]:
    """(where it begins, its number) of each record."""
    return [(record[0], record[3]) for record in read_segment(segment)]


@pytest.mark.parametrize("written", [8, 40, 60])
def test_a_record_torn_by_a_kill_is_told_and_is_no_difference(
    tmp_path: Path, segment: bytes, written: int
) -> None:
    """Its first word is stored last: so many bytes of it, and that is zero."""
    at = published(segment)[-1][0]
    torn = bytearray(segment[:at].ljust(len(segment), b"\0"))
    torn[at + 8 : at + written + 8] = b"\x5a" * written
    result = verify_run(save(tmp_path, bytes(torn)))
    assert result["identical"] is True
    assert f"ends in {written + 8} bytes" in result["cut_off"]
    assert "desk/000000.jnl" in result["cut_off"]


def test_a_run_killed_between_an_input_and_its_records_is_no_difference(
    tmp_path: Path, segment: bytes
) -> None:
    first_out = records(segment, KIND["OUT"])[0][0]
    at = next(offset for offset, seq in published(segment) if seq == first_out)
    result = verify_run(save(tmp_path, segment[:at].ljust(len(segment), b"\0")))
    assert result["identical"] is True
    assert "were not written any more" in result["cut_off"]


def test_a_record_that_only_looks_unwritten_is_damage(tmp_path: Path, segment: bytes) -> None:
    at = published(segment)[-3][0]
    damaged = bytearray(segment)
    damaged[at : at + 8] = bytes(8)
    result = verify_run(save(tmp_path, bytes(damaged)))
    assert result["identical"] is False
    assert "damaged" in result["first_difference"]
    assert result["cut_off"] is None


def test_an_order_hash_is_compared_when_the_key_is_known(tmp_path: Path, segment: bytes) -> None:
    seq, payload = records(segment, KIND["OUT"])[0]
    head = list(OUT_HEADER.unpack_from(payload))
    head[4] ^= 1
    forged = rewritten(segment, {seq: OUT_HEADER.pack(*head) + payload[OUT_HEADER.size :]})
    run_dir = save(tmp_path, forged)
    assert verify_run(run_dir)["identical"] is True  # without the key nobody can know
    (run_dir / "config.json").write_text(
        json.dumps({"credential": {"kind": "local_exchange", "seed": 1, "account": 0}})
    )
    result = verify_run(run_dir)
    assert result["signatures_checked"] is True
    assert result["identical"] is False


def test_a_folder_without_a_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match="No journal"):
        verify_run(tmp_path)


def test_a_replay_run_is_told_apart(tmp_path: Path, segment: bytes) -> None:
    run_dir = save(tmp_path, segment)
    (run_dir / "config.json").write_text(json.dumps({"kind": "replay"}))
    with pytest.raises(TickmakerError, match="is a replay"):
        verify_run(run_dir)


def test_a_missing_segment_is_named(tmp_path: Path, segment: bytes) -> None:
    run_dir = save(tmp_path, segment)
    folder = run_dir / "journal" / "desk"
    (folder / "000000.jnl").rename(folder / "000001.jnl")
    with pytest.raises(TickmakerError, match=r"000000\.jnl is missing"):
        verify_run(run_dir)
