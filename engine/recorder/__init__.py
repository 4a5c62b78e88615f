"""From the engine's journal to files a person keeps: segments, tail, ledger."""
