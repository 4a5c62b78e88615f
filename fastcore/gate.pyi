from fastcore.book import Book
from fastcore.orders import Orders

CODES: dict[int, tuple[str, str]]

class Gate:
    def __init__(self, limits: dict[str, int], book: Book, orders: Orders) -> None: ...
