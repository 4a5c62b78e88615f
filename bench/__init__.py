"""Benches: how fast the core and the wire are, beside a floor and beside the user's own way.

README.md says how each number is measured; results/ holds what was measured where.
"""
