"""The way to the API: what can be listed, how an answer is read, how much may be asked, and the one file that asks.

Belongs here: requests, paging blocks, control totals, limits, retries. Does not: what a row means (`landing`), which
windows to read (`extract`). Called by extraction, onboarding and the command line.
"""
