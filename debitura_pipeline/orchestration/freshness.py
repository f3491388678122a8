"""When an asset that a night makes counts as stale in Dagster's UI and alerts. The 08:00 checks are in assets/checks.py."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from debitura_pipeline.warehouse.checks import STALE_AFTER

# A window, and not the schedule's clock: a data directory whose nights are started by cron at another hour is as fresh.
# Without nights it turns yellow an hour after a day is over.
NIGHTLY_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=STALE_AFTER, warn_window=timedelta(hours=25))
