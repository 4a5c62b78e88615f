"""What a Binance venue in trouble says: 5xx of three kinds, throttling, bans (faults use it).

"HTTP return codes" of the spot and USD-M general information. At both an answer that the machine
in front gives after the effect leaves the fate open, but in other words: spot shows HTML and
tells all of its 5xx to mean so, USD-M has one text for it ("Unknown error") and another for what
did fail ("Internal error"), which is therefore not said here.
"""

from typing import NamedTuple

from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.limits import RateLimits, banned, throttled
from engine.exchange.face import HttpAnswer, HttpRequest, Trouble

GATEWAY_HTML = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)
REFUSED_STATUS = {Trouble.TOO_LARGE: 413, Trouble.MALFORMED: 400}


class TroubleWords(NamedTuple):
    """What differs between the venues."""

    timeout_status: int  # of -1007
    internal_code: int
    internal_text: str
    has_html: bool  # whether REST shows a page for it


SPOT_WORDS = TroubleWords(
    503, -1001, "Internal error; unable to process your request. Please try again.", True
)
USDM_WORDS = TroubleWords(
    408, -1000, "Unknown error, please check your request or try again later.", False
)  # the code: unverified


def error_of(
    kind: Trouble, retry_s: int, now_ns: int, limits: RateLimits, words: TroubleWords
) -> VenueError:
    """In the words of `limits` and `words`, the venue's."""
    if kind is Trouble.UNKNOWN:
        return VenueError(-1007, status=words.timeout_status)
    if kind is Trouble.UNAVAILABLE:
        return VenueError(-1001, text="Service Unavailable.", status=503)  # unverified
    if kind is Trouble.THROTTLED:
        return throttled(limits.weight, retry_s, now_ns, limits.texts)
    if kind is Trouble.BANNED:
        return banned(retry_s, now_ns, limits.texts)
    if kind in REFUSED_STATUS:
        return VenueError(-1000, status=REFUSED_STATUS[kind])  # unverified
    return VenueError(words.internal_code, text=words.internal_text, status=503)


def http_answer(
    request: HttpRequest,
    kind: Trouble,
    retry_s: int,
    now_ns: int,
    limits: RateLimits,
    words: TroubleWords,
) -> HttpAnswer:
    if kind is Trouble.INTERNAL and words.has_html:
        is_html = (("Content-Type", "text/html"),)
        return HttpAnswer(request.request, 502, GATEWAY_HTML, is_html)
    error = error_of(kind, retry_s, now_ns, limits, words)
    headers: tuple[tuple[str, str], ...] = ()
    if error.retry_after_s:
        headers = (("Retry-After", str(error.retry_after_s)),)
    return HttpAnswer(request.request, error.status, error.json(), headers)
