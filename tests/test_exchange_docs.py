"""docs/exchange.md lists what the faces answer."""

from bench import exchange_docs


def test_the_page_is_what_the_command_writes() -> None:
    written = exchange_docs.PAGE.read_text(encoding="utf-8")
    assert written == exchange_docs.page(), "run `python -m bench.exchange_docs`"
    assert "| `/fapi/v1/order` | DELETE, GET, POST, PUT |" in written
    assert "| `/v5/order/create-batch` | POST |" in written
