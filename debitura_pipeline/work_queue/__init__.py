"""The queue in Redis from which workers take work (Celery). Does not import Dagster; Celery is optional.

`app.py` says what a message is and what becomes of it, `broker.py` puts messages on a queue and looks at it. Celery is imported by
functions of `broker.py` and by `app.py` alone.
"""
