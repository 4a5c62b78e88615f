"""Venue facts: URLs, streams, filters, error codes. No sockets, no state."""
