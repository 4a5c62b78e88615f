"""The guide for users' strategies says what is so: its table, its examples, its errors."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from support_user import GUIDE, user_file, with_table

from fastcore.user import StrategyError, load
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
