"""Paper trading: the live feed of a venue, and a local exchange that fills the engine's orders.

`tickmaker run --paper` starts one of these as a process for each account. It reads the venue's
public data, needs no key and signs nothing; the engine trades at it over loopback, with keys that
are thrown away.
"""
