"""The run queue where Dagster's launcher starts a Kubernetes pod for each run: a pod has the Secret of its own partner alone.

Does not import `dagster_k8s`: what the launcher goes by is a tag of the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.run_coordinator import SubmitRunContext
from dagster._serdes import ConfigurableClassData

from debitura_pipeline.orchestration.run_queue import PartnerRunCoordinator, partner_of

CONFIG_TAG = "dagster-k8s/config"
VOLUME = "partner"
FOLDER = "/run/partners"


def pod_tags(tags: Mapping[str, str], secret_prefix: str) -> dict[str, str]:
    """The tag by which a run's pod has its partner's Secret, `secret_prefix` and the name, as files in /run/partners/NAME.

    Empty where the run is of no partner. In the name of the Secret, an underscore becomes a hyphen.
    """
    partner = partner_of(tags)
    if partner is None:
        return {}
    secret = {"secretName": f"{secret_prefix}{_as_name(partner)}", "defaultMode": 0o400}
    mount = {"name": VOLUME, "mountPath": f"{FOLDER}/{partner}", "readOnly": True}
    wanted = {
        "container_config": {"volumeMounts": [mount]},
        "pod_spec_config": {"volumes": [{"name": VOLUME, "secret": secret}]},
        "pod_template_spec_metadata": {"labels": {"debitura/partner": _as_name(partner)}},
    }
    return {CONFIG_TAG: json.dumps(wanted)}


def _as_name(partner: str) -> str:
    """As Kubernetes takes names and labels: no underscore, and a letter or digit at the end."""
    return partner.replace("_", "-").rstrip("-")


class PartnerPodCoordinator(PartnerRunCoordinator):
    """`PartnerRunCoordinator` that gives each run's pod the Secret of its partner. Named in deploy/kubernetes/values.yaml.

    A run that asks for another configuration of its pod does not get it: the tag would name any Secret.
    """

    def __init__(self, secret_prefix: str, **queue: Any) -> None:
        super().__init__(**queue)
        self._secret_prefix = secret_prefix

    @classmethod
    def config_type(cls) -> Any:
        """The queue's own, and `secret_prefix`."""
        queue: Any = super().config_type()
        return {**queue, "secret_prefix": dg.Field(str, is_required=False, default_value="debitura-")}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> PartnerPodCoordinator:
        """From `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Queue the run."""
        run = context.dagster_run
        self._instance.add_run_tags(run.run_id, pod_tags(run.tags, self._secret_prefix) or {CONFIG_TAG: "{}"})
        return super().submit_run(context)
