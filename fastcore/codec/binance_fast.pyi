"""The messages that come most, spelt as the venue spells them; C only: see binance_fast.pyx."""
