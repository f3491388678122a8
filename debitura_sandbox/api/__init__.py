"""The simulated API over a world: listings, documents, client and webhook routes, limits and faults."""
