"""The simulated API: a deterministic world, moved forward by days, served as the real API would. Nothing here is real."""
