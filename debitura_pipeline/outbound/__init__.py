"""What registering clients and submitting claims have in common: saved plans, and the brake."""
