"""Answers of Binance's WebSocket API and control plane; C only: see binance_reply.pyx."""
