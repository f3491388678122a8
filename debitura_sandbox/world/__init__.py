"""The simulated world: clients, cases and payments, and how they change from day to day."""
