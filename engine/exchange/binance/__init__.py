"""Binance's protocols over the exchange's core: what its venues share, and each venue's face."""
