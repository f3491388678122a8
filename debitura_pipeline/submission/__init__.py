"""Claims to cases: each claim of the source becomes exactly one case at Debitura, or a row that says why not."""
