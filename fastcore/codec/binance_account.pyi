"""Balances and positions of Binance accounts; C only: see binance_account.pyx."""
