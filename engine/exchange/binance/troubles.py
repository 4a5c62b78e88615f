"""What a Binance venue in trouble says: 5xx of three kinds, throttling, bans (faults use it).

"HTTP return codes" of the spot and USD-M general information. 5xx in front of the venue is HTML.
"""

from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.limits import RateLimits, banned, throttled
from engine.exchange.face import HttpAnswer, HttpRequest, Trouble

GATEWAY_HTML = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)
REFUSED_STATUS = {Trouble.TOO_LARGE: 413, Trouble.MALFORMED: 400}


def error_of(kind: Trouble, retry_s: int, now_ns: int, limits: RateLimits) -> VenueError:
    """In the words of `limits`, the venue's."""
    if kind is Trouble.UNKNOWN:
        return VenueError(-1007)
    if kind is Trouble.UNAVAILABLE:
        return VenueError(-1001, text="Service Unavailable.", status=503)  # unverified
    if kind is Trouble.THROTTLED:
        return throttled(limits.weight, retry_s, now_ns, limits.texts)
    if kind is Trouble.BANNED:
        return banned(retry_s, now_ns, limits.texts)
    if kind in REFUSED_STATUS:
        return VenueError(-1000, status=REFUSED_STATUS[kind])  # unverified
    text = "Internal error; unable to process your request. Please try again."
    return VenueError(-1001, text=text, status=503)


def http_answer(
    request: HttpRequest, kind: Trouble, retry_s: int, now_ns: int, limits: RateLimits
) -> HttpAnswer:
    if kind is Trouble.INTERNAL:
        is_html = (("Content-Type", "text/html"),)
        return HttpAnswer(request.request, 502, GATEWAY_HTML, is_html)
    error = error_of(kind, retry_s, now_ns, limits)
    headers: tuple[tuple[str, str], ...] = ()
    if error.retry_after_s:
        headers = (("Retry-After", str(error.retry_after_s)),)
    return HttpAnswer(request.request, error.status, error.json(), headers)
