"""The simulator: engine and exchange in one process, in virtual time."""
