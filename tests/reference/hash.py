"""hash64 in plain Python: the same definition, none of the speed."""

WORD_MASK = 0xFFFF_FFFF_FFFF_FFFF
GOLDEN = 0x9E37_79B9_7F4A_7C15
MULTIPLIERS = (
    0x6A09_E667_F3BC_C909,
    0xBB67_AE85_84CA_A73B,
    0x3C6E_F372_FE94_F82B,
    0xA54F_F53A_5F1D_36F1,
)
ROTATIONS = (0, 11, 23, 41)


def _rotl(word: int, count: int) -> int:
    return ((word << count) | (word >> (64 - count))) & WORD_MASK


def hash64(data: bytes, seed: int = 0) -> int:
    """Checksum of `data` chained from `seed`, both and the result unsigned 64-bit."""
    padded = bytes(data) + bytes(-len(data) % 32)
    lanes = [(MULTIPLIERS[0] + seed) & WORD_MASK, *MULTIPLIERS[1:]]
    for index in range(len(padded) // 8):
        word = int.from_bytes(padded[index * 8 : index * 8 + 8], "little")
        lane = (lanes[index % 4] ^ word) * MULTIPLIERS[index % 4] & WORD_MASK
        lanes[index % 4] = lane ^ (lane >> 32)
    h = len(data) * GOLDEN
    for lane, rotation in zip(lanes, ROTATIONS, strict=True):
        h += _rotl(lane, rotation)
    h &= WORD_MASK
    for shift, multiplier in ((32, MULTIPLIERS[3]), (29, MULTIPLIERS[1])):
        h = (h ^ (h >> shift)) * multiplier & WORD_MASK
    return h ^ (h >> 32)
