"""Veritas for Python: for now, the keys that Python and Rust processes share."""
