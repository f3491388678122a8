"""Read windows of a listing completely: plan, request, land, and verify each window."""
