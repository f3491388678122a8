"""How much a run prints. The event log has everything; a terminal should show what somebody must look at."""

from __future__ import annotations

import dagster as dg

# Dagster's own default prints every event of every run.
console = dg.colored_console_logger.configured(
    lambda config: {"log_level": config["log_level"]},
    config_schema={"log_level": dg.Field(str, is_required=False, default_value="WARNING")},
)

loggers = {"console": console}
