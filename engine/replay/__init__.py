"""The core over recorded data: replay of tapes, and of journals (verify)."""
