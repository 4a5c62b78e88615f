"""`python -m bench.strategies` times every built-in, and only calls that quote."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import strategies
from fastcore.strategy import BUILTINS


def test_every_builtin_is_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "strategies.json"
    assert strategies.main(["--rounds", "3", "--calls", "10", "--out", str(out)]) == 0
    cases: dict[str, Any] = json.loads(out.read_text())["cases"]
    assert set(BUILTINS) <= set(cases)
    assert all(0 < case["best_ns"] <= case["median_ns"] for case in cases.values())
    assert "stat_arb" in capsys.readouterr().out
    assert strategies.main(["--rounds", "1", "--calls", "1", "--json", "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out.read_text())


def test_a_case_that_does_not_quote_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(strategies.CASES, "spread", ("spread", {}, {"bids": []}))
    with pytest.raises(RuntimeError, match="spread: 10 of 10 calls did not quote"):
        strategies.run(1, 10)


def test_wrong_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        strategies.main(["--rounds", "0"])
    assert "must be above 0" in capsys.readouterr().err
