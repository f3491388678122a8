"""Dagster's runs on workers, possibly of other machines: Celery with Redis. Optional; Dagster loads it by name.

`launcher.py` puts a run on a queue, `worker.py` takes it from there and starts `execute.py` for it, `waiting.py` looks after runs
that wait for a worker. The queue itself is in `work_queue/`. `part.py` reads a part of a first load (`first_load/`).
"""
