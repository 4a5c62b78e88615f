"""JSON as the venue writes it: no spaces."""

import json

# One encoder: building one a message costs as much as a small message.
dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
