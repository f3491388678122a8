"""The two pools, each with room for one step at a time.

Dagster gives a step one pool. Whatever opens the DuckDB file is in `warehouse`, also where it talks to the API first:
one writer is a must, and the API's budget is kept by the client's own book. What talks to the API alone is in `debitura_api`.
"""

WAREHOUSE_POOL = "warehouse"
API_POOL = "debitura_api"
POOLS = (WAREHOUSE_POOL, API_POOL)
