"""Bybit's answers to our requests, for the decoder; C only: see bybit_reply.pyx."""
