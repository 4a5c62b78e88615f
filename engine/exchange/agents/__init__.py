"""The crowd that makes a market worth quoting in: seeded, compiled, independent of the server."""
