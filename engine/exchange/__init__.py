"""The local exchange: sans-IO core, one file a venue protocol, thin socket servers."""
