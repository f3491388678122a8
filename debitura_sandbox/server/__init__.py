"""The simulated API over HTTP, by itself or embedded in a command."""
