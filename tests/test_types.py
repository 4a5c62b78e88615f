"""The three faces of the shared enums agree: C (.pxd), Python (.pyx) and stub (.pyi)."""

import ast
import enum
import re

import pytest
from support_sources import ROOT

from fastcore import types

ENUMS = {name: found for name, found in vars(types).items() if isinstance(found, enum.EnumType)}
PREFIX = {
    "Code": "E",
    "Conn": "CONN",
    "EventKind": "EV",
    "OrderState": "ORD",
    "ExecType": "EXEC",
    "SendOutcome": "SEND",
    "SyncState": "SYNC",
    "SyncRule": "SYNC_RULE",
    "Command": "CMD",
    "OrderFlag": "ORDER",
    "FeeAsset": "FEE",
    "FillOwner": "OWNER",
    "FillVia": "VIA",
}


def test_python_enums_hold_the_values_of_c() -> None:
    text = (ROOT / "fastcore/types.pxd").read_text()
    c = {name: int(value) for name, value in re.findall(r"^\s+([A-Z]\w+) = (-?\d+)", text, re.M)}
    checked = 0
    for name, members in ENUMS.items():
        if members in (enum.IntEnum, enum.IntFlag):
            continue
        prefix = PREFIX.get(name, name.upper())
        for member in members.__members__.values():
            spelled = "OK" if member.name == "OK" else f"{prefix}_{member.name}"
            assert c[spelled] == member.value, spelled
            checked += 1
    assert checked > 60


def test_stub_holds_the_values_of_the_module() -> None:
    stub = ast.parse((ROOT / "fastcore/types.pyi").read_text())
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    assert set(classes) == set(ENUMS) - {"IntEnum", "IntFlag"}
    for name, node in classes.items():
        members = {
            ast.unparse(line.targets[0]): ast.literal_eval(line.value)
            for line in node.body
            if isinstance(line, ast.Assign)
        }
        found = {member.name: member.value for member in ENUMS[name].__members__.values()}
        assert members == found, name


def test_halt_reasons_are_distinct_bits() -> None:
    values = [reason.value for reason in types.Halt if reason]
    assert all(value & (value - 1) == 0 for value in values)
    with pytest.raises(ValueError, match="9999"):
        types.Side(9999)
