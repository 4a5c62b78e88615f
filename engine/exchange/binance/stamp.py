"""The venue's clock: the core's, plus a skew that a fault may set."""


class Stamp:
    """One a face; whatever writes a time holds it."""

    __slots__ = ("skew_ns",)

    def __init__(self) -> None:
        self.skew_ns = 0

    def ms(self, t_ns: int) -> int:
        """A core time as the venue tells it, in milliseconds."""
        return (t_ns + self.skew_ns) // 1_000_000

    def us(self, t_ns: int) -> int:
        """In microseconds."""
        return (t_ns + self.skew_ns) // 1_000
