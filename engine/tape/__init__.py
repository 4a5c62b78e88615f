"""Recorded market data: raw captures in, tapes kept, both checked against their own tickers."""
