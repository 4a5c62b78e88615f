"""Whatever is sent to a face over REST and WebSocket: the venue's own answer in the venue's own
form, never a fault of ours, and the books in order afterwards.

TICKMAKER_FUZZ  so many scripts a venue instead of a few, and a failing one is made short first.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support_fuzz import KEYS, Player, scripts

WISH = os.environ.get("TICKMAKER_FUZZ")
SCRIPTS = int(WISH or "30")
PHASES = (Phase.generate, Phase.shrink) if WISH else (Phase.generate,)


@pytest.mark.parametrize("venue", KEYS)
@settings(max_examples=SCRIPTS, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_script_is_answered_as_the_venue_would(venue: str, data: st.DataObject) -> None:
    Player(venue).play(data.draw(scripts(venue)))
