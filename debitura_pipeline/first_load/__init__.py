"""The first load of a long listing, read by several processes at once, possibly on other machines, and merged once.

The run that loads cuts the listing's calendar into parts (`divide.py`), puts them on the workers' queue and reads parts itself
(`together.py`). A worker reads a part into an attempt of its own and marks that as whole with its last write (`part_store.py`). The
run takes the windows of whole attempts into its own journal. From there on the load is like any other: proof, certificate, merge.
No part depends on a worker: what none has read, the run reads.
"""
