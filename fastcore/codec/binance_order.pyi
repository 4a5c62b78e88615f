"""Words and numbers of Binance orders, for the decoder; C only: see binance_order.pyx."""
