"""bench/tape_serving.py measures what it says, on a short recording."""

from pathlib import Path

import pytest
from support_data import recorded

from bench import tape_serving


def test_every_frame_is_counted_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape_serving, "SPEEDS", (20.0,))
    tape = recorded("binance_usdm/btcusdt_20220811_7s.gz")
    out = tmp_path / "r.json"
    result = tape_serving.run(tape, "binance_usdm", rounds=1, out=out)
    assert out.exists()
    assert result["recording"]["frames"] == 1532
    assert 7.0 < result["recording"]["span_s"] < 7.3
    (sockets,) = result["sockets"]
    assert (sockets["frames"], sockets["late"]["n"], sockets["slow_cut"]) == (1532, 1532, 0)
    figures = result["figures"]
    assert figures["core_messages_s"] >= figures["face_messages_s"] * 0.2 > 0
