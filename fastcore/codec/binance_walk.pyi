"""One walk over a Binance message, for the decoder; C only: see binance_walk.pyx."""
