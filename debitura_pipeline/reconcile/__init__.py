"""Whether what was read adds up: completeness of a listing, control totals, and where they differ."""
