"""The engine's process: accounts, instruments, start-up, reconciliation, shutdown, control."""
