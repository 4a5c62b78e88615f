"""Whatever is sent to a face over REST and WebSocket: the venue's own answer in the venue's own
form, never a fault of ours, and the books in order afterwards.

TICKMAKER_FUZZ  so many scripts a venue, other ones each time; a few, the same ones, when not set.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support_fuzz import KEYS, Player, scripts

WISH = os.environ.get("TICKMAKER_FUZZ")
SCRIPTS = int(WISH or "30")


@pytest.mark.parametrize("venue", KEYS)
@settings(
    max_examples=SCRIPTS, derandomize=WISH is None, suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_any_script_is_answered_as_the_venue_would(venue: str, data: st.DataObject) -> None:
    Player(venue).play(data.draw(scripts(venue)))
