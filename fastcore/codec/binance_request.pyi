"""The texts of Binance's requests; C only: see binance_request.pyx."""
