"""Nights of several partners on Celery workers, compared with one machine's, and with processes killed: `make cluster`."""
