"""One tick of the sensor on the instance in DAGSTER_HOME, and the run that it asks for, as a process of its own.

Prints one line of JSON: whether a run was asked for, and the seconds of each. Settings from the environment.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import dagster as dg

from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.jobs import ONBOARD
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.sensors import new_clients
from debitura_pipeline.settings import load_settings

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def main() -> None:
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with open_instance(load_settings()) as instance:
        began = time.monotonic()
        with dg.build_sensor_context(instance=instance, resources={"debitura": Debitura()}) as context:
            outcome: Any = new_clients(context)
        if isinstance(outcome, dg.SkipReason):
            raise SystemExit(outcome.skip_message)
        ticked = time.monotonic()
        for added in outcome.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(added.partitions_def_name, added.partition_keys)
        for asked in outcome.run_requests or []:
            job = defs.resolve_job_def(ONBOARD)
            job.execute_in_process(instance=instance, run_config={**asked.run_config, **QUIET})
        found = {"asked": len(outcome.run_requests or []), "tick_s": ticked - began, "run_s": time.monotonic() - ticked}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
