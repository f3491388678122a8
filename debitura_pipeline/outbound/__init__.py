"""What registering clients and submitting claims have in common: plans that bind, and the brake."""
