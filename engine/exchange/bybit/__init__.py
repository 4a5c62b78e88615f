"""The local exchange's third face: Bybit v5, linear and spot, one unified account."""
