"""Invented rosters and claims that the sandbox's world accepts."""
