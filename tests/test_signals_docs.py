"""docs/signals.md tells the settings and the values as they are."""

from fastcore.signals import SIGNALS, Signals
from fastcore.signals_settings import as_markdown
from tests.support_data import ROOT

TEXT = (ROOT / "docs" / "signals.md").read_text(encoding="utf-8")


def test_document_shows_the_settings_as_they_are():
    assert as_markdown() in TEXT


def test_document_names_every_signal_and_every_value():
    for name in SIGNALS:
        assert f"\n| `{name}` |" in TEXT, name
    for name in Signals(0).to_dict():
        assert f"`{name}`" in TEXT, name
