"""SHA-256 and HMAC: the standards' vectors and hashlib, on both compressions; the secret hides."""

import copy
import gc
import hashlib
import hmac
import pickle
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastcore.sha256 import Hmac, sha256_backend, sha256_digest

# Same examples in every run, and no verdict from a busy machine's clock.
STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=300)

TWO_BLOCKS = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
FOUR_BLOCKS = (
    b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
    b"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
)
# NIST example values for FIPS 180-4: empty, one block, 448 bits, 896 bits, a million a's.
NIST = [
    (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (TWO_BLOCKS, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
    (FOUR_BLOCKS, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"),
    (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
]
# RFC 4231 section 4: key, data, HMAC-SHA-256. Case 5 is the one that truncates to 128 bits.
RFC_4231 = [
    (
        b"\x0b" * 20,
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        b"\xaa" * 20,
        b"\xdd" * 50,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    ),
    (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data. "
        b"The key needs to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]


@pytest.fixture(params=[False, True], ids=["best", "portable"], scope="module")
def portable(request):
    return request.param


def cpu_has_sha_extensions() -> bool | None:
    """What Linux says; None where it says nothing."""
    try:
        with open("/proc/cpuinfo") as cpuinfo:
            flags = [line.split(":")[1].split() for line in cpuinfo if line.startswith("flags")]
    except OSError:
        return None
    return "sha_ni" in flags[0] and "sse4_1" in flags[0] if flags else None


def test_sha256_backend_is_what_the_machine_has():
    expected = cpu_has_sha_extensions()
    if expected is None:
        assert sha256_backend() in ("sha-ni", "portable")
    else:
        assert sha256_backend() == ("sha-ni" if expected else "portable")


@pytest.mark.parametrize(("msg", "digest"), NIST, ids=["empty", "abc", "448", "896", "million"])
def test_sha256_nist_vectors(msg, digest, portable):
    assert sha256_digest(msg, portable).hex() == digest


def test_sha256_every_size_round_the_padding_edges_equals_hashlib(portable):
    data = bytes(index * 7 & 0xFF for index in range(300))
    for size in range(301):
        assert sha256_digest(data[:size], portable) == hashlib.sha256(data[:size]).digest()


@pytest.mark.parametrize(("key", "msg", "digest"), RFC_4231, ids=range(1, 8))
def test_hmac_rfc_4231_vectors(key, msg, digest, portable):
    assert Hmac(key, b"", portable).hexdigest(msg).decode()[: len(digest)] == digest
    assert Hmac(key, msg, portable).hexdigest(msg).decode()[: len(digest)] == digest


@STEADY
@given(st.binary(max_size=400))
def test_sha256_equals_hashlib(msg):
    digest = hashlib.sha256(msg).digest()
    assert sha256_digest(msg) == digest
    assert sha256_digest(msg, portable=True) == digest


@STEADY
@given(st.binary(max_size=200), st.binary(max_size=300), st.binary(max_size=300), st.booleans())
@example(b"k" * 64, b"p" * 64, b"", False)  # key of one block; message is all prefix
@example(b"k" * 65, b"p" * 128, b"m", True)
@example(b"", b"", b"", False)
def test_hmac_equals_hmac_module(key, prefix, rest, portable):
    expected = hmac.new(key, prefix + rest, "sha256").hexdigest().encode()
    signer = Hmac(key, prefix=prefix, portable=portable)
    assert signer.hexdigest(prefix + rest) == expected
    assert signer.hexdigest(prefix + rest) == expected  # a signature leaves no trace
    assert signer.repeat(prefix + rest, 3) == expected


def test_hmac_every_prefix_and_message_size_equals_hmac_module(portable):
    data = bytes(index * 11 & 0xFF for index in range(200))
    for prefix_size in (0, 1, 55, 56, 63, 64, 65, 127, 128, 129):
        signer = Hmac(b"secret", data[:prefix_size], portable)
        for size in range(prefix_size, 201):
            expected = hmac.new(b"secret", data[:size], "sha256").hexdigest().encode()
            assert signer.hexdigest(data[:size]) == expected


def test_hmac_binance_documented_order_gives_documented_signature(portable):
    """The example of Binance's REST documentation, "HMAC SHA256 signature"."""
    secret = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    query = (
        b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
        b"&recvWindow=5000&timestamp=1499827319559"
    )
    expected = b"c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert Hmac(secret, b"symbol=LTCBTC&", portable).hexdigest(query) == expected


def test_hmac_message_without_the_prefix_is_refused():
    signer = Hmac(b"secret", b"apiKey=abc&")
    for msg in (b"", b"apiKey=abc", b"apiKey=abd&x=1"):
        with pytest.raises(ValueError, match="prefix"):
            signer.hexdigest(msg)
        with pytest.raises(ValueError, match="prefix"):
            signer.repeat(msg, 1)
    with pytest.raises(ValueError, match="count"):
        signer.repeat(b"apiKey=abc&", 0)


def test_hmac_wrong_types_are_refused():
    with pytest.raises(TypeError):
        Hmac("text")
    with pytest.raises(TypeError):
        Hmac(None)
    with pytest.raises(TypeError):
        Hmac(b"secret", None)
    with pytest.raises(TypeError):
        Hmac(b"secret").hexdigest(None)
    with pytest.raises(TypeError):
        Hmac(b"secret").hexdigest("text")


def test_hmac_repr_names_nothing():
    signer = Hmac(b"hidden-secret", b"hidden-prefix")
    assert repr(signer) == str(signer) == "<Hmac>"


def test_hmac_secret_cannot_be_reached_from_python():
    secret = b"a-secret-that-nobody-else-holds-0123456789"
    signer = Hmac(secret, b"prefix")
    public = [name for name in dir(signer) if not name.startswith("__")]
    assert public == ["hexdigest", "repeat"]
    assert gc.get_referents(signer) == []
    with pytest.raises(AttributeError):
        signer.note = 1
    with pytest.raises(TypeError):
        vars(signer)
    with pytest.raises(TypeError):
        memoryview(signer)


def test_hmac_cannot_be_pickled_or_copied():
    signer = Hmac(b"secret")
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            attempt(signer)


def test_hmac_cannot_be_subclassed():
    with pytest.raises(TypeError):
        type("Leaky", (Hmac,), {})


def test_hmac_keeps_no_reference_to_the_secret():
    secret = bytes(bytearray(b"only one owner of these bytes"))
    before = sys.getrefcount(secret)
    signer = Hmac(secret)
    after = sys.getrefcount(secret)
    assert after == before
    assert signer.hexdigest(b"") == hmac.new(secret, b"", "sha256").hexdigest().encode()
