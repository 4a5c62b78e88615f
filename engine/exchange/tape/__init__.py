"""Recordings as markets: raw captures served byte for byte, imported tapes re-rendered."""
