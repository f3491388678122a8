"""Onboard clients: decide who is due, check signatures and access, load histories."""
