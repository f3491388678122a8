"""Check that what was read adds up: completeness of a listing, control totals, and the location of differences."""
