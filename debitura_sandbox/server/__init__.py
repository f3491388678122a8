"""The simulated API over HTTP, standalone or embedded in a command."""
