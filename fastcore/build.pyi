SAFE: bool
