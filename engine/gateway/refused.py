"""How long to stay away after a connection was refused: what the venue says of it decides."""

from random import Random

from engine.errors import TickmakerError
from engine.gateway.handshake import RefusedError
from engine.gateway.reconnect import PATIENT_ATTEMPT
from engine.gateway.rest import VenueError

WAIT_S = 30.0  # after a handshake refused with one of STATUS_PATIENT: bans grow with knocking
STATUS_PATIENT = frozenset({403, 418, 429})


def attempt_after(error: TickmakerError) -> int:
    """The least attempt number to go on with: one of long waits where the venue asks for it.

    Who knocks on while throttled is banned, and can't even cancel then.
    """
    if isinstance(error, RefusedError):
        return PATIENT_ATTEMPT if error.status in STATUS_PATIENT else 0
    if isinstance(error, VenueError):
        failure = error.failure
        return PATIENT_ATTEMPT if failure.is_throttled or failure.is_credential else 0
    return 0


def wait_after_s(error: TickmakerError, rng: Random) -> float:
    """What the venue asked for on top of the backoff."""
    if isinstance(error, VenueError):
        return error.retry_after_s
    if isinstance(error, RefusedError) and error.status in STATUS_PATIENT:
        return WAIT_S * (0.75 + 0.5 * rng.random())
    return 0.0
