"""hash64: equal to its twin, and no single changed byte, size or seed goes unseen."""

import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcore import hash as fast
from tests.reference import hash as twin

SIZES = [*range(0, 67), 95, 96, 97, 127, 128, 129, 160, 191, 200]
KNOWN = {
    b"": 0x79727ED65FE1E456,
    b"a": 0xC62DB2EF57A432C7,
    b"tickmaker": 0x25861553DE26C778,
}
KNOWN_250_SEED_7 = 0xF58F277BC34F5CA7
# Same examples in every run, and no verdict from a busy machine's clock.
STEADY = settings(derandomize=True, deadline=None, database=None)


@pytest.fixture(params=[fast.hash64, twin.hash64], ids=["fast", "reference"], scope="module")
def hash64(request):
    return request.param


def pattern(size: int, salt: int = 0) -> bytes:
    return bytes((index * 131 + salt * 17 + (index >> 3)) & 0xFF for index in range(size))


def test_hash64_known_inputs_give_journalled_values(hash64):
    """Journals on disk depend on these: a change here is a new journal version."""
    assert hash64(b"") == KNOWN[b""]
    assert hash64(b"a") == KNOWN[b"a"]
    assert hash64(b"tickmaker") == KNOWN[b"tickmaker"]
    assert hash64(pattern(250), 7) == KNOWN_250_SEED_7


@pytest.mark.parametrize("size", SIZES)
def test_hash64_any_single_byte_changed_changes_the_result(hash64, size):
    data = bytearray(pattern(size))
    whole = hash64(data, 99)
    for position in range(size):
        for flip in (0x01, 0x80, 0xFF):
            data[position] ^= flip
            assert hash64(data, 99) != whole
            data[position] ^= flip
    assert hash64(data, 99) == whole


def test_hash64_any_single_bit_changed_changes_the_result_fast():
    for size in range(201):
        data = bytearray(pattern(size, salt=size))
        whole = fast.hash64(data)
        seen = {whole}
        for position in range(size):
            for bit in range(8):
                data[position] ^= 1 << bit
                seen.add(fast.hash64(data))
                data[position] ^= 1 << bit
        assert len(seen) == 1 + 8 * size  # and no two of the changes agree


def test_hash64_every_size_of_zeros_differs(hash64):
    assert len({hash64(bytes(size)) for size in range(201)}) == 201


def test_hash64_every_seed_differs(hash64):
    seeds = [*range(64), *(1 << bit for bit in range(64)), (1 << 64) - 1]
    assert len({hash64(b"payload", seed) for seed in seeds}) == len(set(seeds))


def test_hash64_chained_changed_header_changes_the_result(hash64):
    header, payload = pattern(32), pattern(120, salt=3)
    whole = hash64(payload, hash64(header))
    for position in range(32):
        other = bytearray(header)
        other[position] ^= 0x10
        assert hash64(payload, hash64(other)) != whole


def test_hash64_swapped_words_change_the_result(hash64):
    data = pattern(128)
    whole = hash64(data)
    words = [data[start : start + 8] for start in range(0, 128, 8)]
    for left in range(16):
        for right in range(left):
            other = list(words)
            other[left], other[right] = other[right], other[left]
            assert hash64(b"".join(other)) != whole


@STEADY
@given(st.binary(max_size=300), st.integers(0, 2**64 - 1))
def test_hash64_equals_twin(data, seed):
    assert fast.hash64(data, seed) == twin.hash64(data, seed)


@STEADY
@given(st.binary(min_size=1, max_size=300), st.data())
def test_hash64_any_changed_word_changes_the_result(data, draw):
    index = draw.draw(st.integers(0, (len(data) - 1) // 8))
    old = data[index * 8 : index * 8 + 8]
    same_size = st.binary(min_size=len(old), max_size=len(old))
    new = draw.draw(same_size.filter(lambda word: word != old))
    assert fast.hash64(data[: index * 8] + new + data[index * 8 + 8 :]) != fast.hash64(data)


def test_hash64_bits_of_the_result_each_flip_about_half_the_time():
    """Avalanche: one flipped input bit moves each output bit in 30 to 70 % of 2,000 trials."""
    flips = [0] * 64
    data = bytearray(pattern(250))
    whole = fast.hash64(data)
    for position in range(250):
        for bit in range(8):
            data[position] ^= 1 << bit
            difference = fast.hash64(data) ^ whole
            data[position] ^= 1 << bit
            for out in range(64):
                flips[out] += difference >> out & 1
    assert min(flips) > 600
    assert max(flips) < 1400


def test_hash64_unaligned_data_gives_the_same_result():
    data = pattern(100)
    for offset in range(16):
        assert fast.hash64(memoryview(bytes(offset) + data)[offset:]) == fast.hash64(data)


def test_hash64_takes_any_contiguous_buffer_and_refuses_the_rest():
    assert fast.hash64(array.array("q", [1, 2])) == fast.hash64(array.array("q", [1, 2]).tobytes())
    assert fast.hash64(bytearray()) == fast.hash64(b"")
    with pytest.raises(TypeError):
        fast.hash64("text")
    with pytest.raises(TypeError):
        fast.hash64(None)
    with pytest.raises(TypeError, match="contiguous"):
        fast.hash64(memoryview(pattern(10))[::2])
    for seed in (-1, 2**64):
        with pytest.raises(OverflowError):
            fast.hash64(b"", seed)


def test_repeat_chains_the_hash():
    data = pattern(40)
    assert fast.repeat(data, 2) == fast.hash64(data, fast.hash64(data))
    with pytest.raises(ValueError, match="empty"):
        fast.repeat(b"", 1)
