"""What both codecs ask of the words that they are built with; C only: see binance_check.pyx."""
