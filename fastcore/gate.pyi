CODES: dict[int, tuple[str, str]]

class Gate:
    def __init__(self, limits: dict[str, int]) -> None: ...
