"""The simulated API over a world: listings, documents, client and webhook routes, rate limits and faults."""
