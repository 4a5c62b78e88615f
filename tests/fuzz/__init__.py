"""Coverage-guided fuzzing of the compiled core: docs/fuzzing.md."""
