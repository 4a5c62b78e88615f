"""Items of Bybit's arrays as events, for the decoder; C only: see bybit_item.pyx."""
