"""The memory of keys against the obvious one: the last `size` different keys, oldest forgotten."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcore.seen import Seen


class Slow:
    def __init__(self, size: int) -> None:
        self.keys: deque[int] = deque(maxlen=size)

    def take_key(self, key: int) -> bool:
        if key in self.keys:
            return False
        self.keys.append(key)
        return True


KEYS = st.one_of(
    st.integers(0, 12),  # much the same again and again
    st.integers(0, 2**64 - 1),
    st.integers(0, 40).map(lambda n: n << 33),  # neighbours in the table, whatever the hash
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([2, 4, 8, 16]), st.lists(KEYS, max_size=200))
def test_it_remembers_what_the_obvious_memory_does(size: int, keys: list[int]) -> None:
    seen, slow = Seen(size), Slow(size)
    for key in keys:
        assert seen.take_key(key) == slow.take_key(key), key
        seen.check()


def test_ids_that_grow_by_one_are_remembered_for_as_long_as_promised() -> None:
    seen = Seen(8192)
    for key in range(30_000):
        assert seen.take_key(2 * key)
        assert not seen.take_key(2 * max(0, key - 8191))
    assert seen.take_key(2 * (30_000 - 8193))
    assert seen.count == 30_001
    seen.check()


@pytest.mark.parametrize("size", [0, 1, 3, 100, 1 << 21])
def test_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Seen(size)
