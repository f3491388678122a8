"""Deciding what to read, reading it whole, and proving that it is whole."""
