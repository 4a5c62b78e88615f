"""The guide for users' strategies says what is so: its table, its examples, its errors."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from support_user import GUIDE, user_file, with_table

from fastcore.user import QUOTE, StrategyError, load, new_views
from fastcore.user.compiled import Strategy

BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def test_the_table_of_fields_is_the_structs() -> None:
    guide = GUIDE.read_text()
    assert with_table(guide) == guide, "run python -m tests.support_user"


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_compiles_and_runs(block: str, tmp_path: Path) -> None:
    path = tmp_path / "block.py"
    path.write_text(block)
    module = ModuleType("block")
    exec(compile(block, str(path), "exec"), module.__dict__)
    (name,) = [key for key, value in vars(module).items() if isinstance(value, Strategy)]
    assert load(f"{path}:{name}").name == name


def test_the_quoted_error_is_the_real_one() -> None:
    text = BLOCKS[0].replace("microprice_ticks", "microprise_ticks").replace("my_quotes", "f")
    with pytest.raises(StrategyError) as caught:
        user_file(text)
    what, quoted, _ = str(caught.value).splitlines()
    guide = GUIDE.read_text()
    assert what.partition(": ")[2] in guide
    assert quoted.strip() in guide


@pytest.mark.parametrize("limit", ["| 32 |", "| 10 |", "up to 8"])
def test_the_limits_are_named(limit: str) -> None:
    assert limit in GUIDE.read_text()


def test_the_ladder_quotes_three_levels_and_takes_once_a_pause(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "def ladder" in block]
    path = tmp_path / "block.py"
    path.write_text(block)
    views = new_views(3)
    views["bid_count"] = views["ask_count"] = 3
    views["bids"]["px_ticks"], views["asks"]["px_ticks"] = 1000, 1001
    views["position_lots"] = 11
    views["now_ns"] = [5_000_000_000, 5_500_000_000, 6_000_000_000]
    codes, targets = load(f"{path}:ladder").over(views)
    assert codes.tolist() == [QUOTE] * 3
    assert targets["bids"]["px_ticks"][0, :4].tolist() == [1000, 995, 990, 0]
    assert targets["take_qty_lots"].tolist() == [11, 0, 11]
    assert targets["take_px_ticks"][0] == 998
