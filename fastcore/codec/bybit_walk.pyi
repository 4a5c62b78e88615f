"""One walk over a Bybit message, for the decoder; C only: see bybit_walk.pyx."""
