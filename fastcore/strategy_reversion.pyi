"""Only C functions: Python calls them by fastcore.strategy.quotes_of."""
