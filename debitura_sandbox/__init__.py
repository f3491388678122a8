"""The simulated API: a deterministic, invented world that advances by days, served over HTTP like the real API."""
