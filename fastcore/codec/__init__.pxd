# cython: language_level=3
"""Venue protocols, bytes to events and orders to bytes: one venue a file."""
