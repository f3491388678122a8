"""Check manifests against Kubernetes' schemas, and build the Job of a run as Dagster's launcher does.

Runs in `.venv-deploy`. Standard input: `versions` of Kubernetes, `manifests`, the launcher's `config` as in `dagster.yaml`, and
`runs`, a list of the tags of a run. Prints the Job of each run as JSON; ends with an exception where anything does not fit.
"""

import json
import sys
import warnings

import dagster_k8s.launcher
import kubernetes_validate
from dagster import DagsterRun
from dagster._config import process_config
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job
from kubernetes.client import ApiClient

warnings.simplefilter("ignore")


def jobs(config, runs):
    """The launcher's own way from its configuration to a Job (`K8sRunLauncher._launch_k8s_job_with_args`)."""
    checked = process_config(K8sRunLauncher.config_type(), config)
    assert checked.success, [error.message for error in checked.errors or ()]
    dagster_k8s.launcher.load_kubernetes_config = lambda **_: None  # no cluster is asked
    launcher = K8sRunLauncher(**(checked.value or {}))
    for tags in runs:
        run = DagsterRun(job_name="nightly", run_id="0" * 8, tags=tags)
        context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=True)
        job_config = context.get_k8s_job_config(job_image="registry.example.com/image:1", run_launcher=launcher)
        job = construct_dagster_k8s_job(
            job_config=job_config,
            args=["dagster", "api", "execute_run", "{}"],
            job_name="dagster-run-0",
            pod_name="dagster-run-0",
            component="run_worker",
            user_defined_k8s_config=context.run_k8s_config,
        )
        yield ApiClient().sanitize_for_serialization(job)


asked = json.load(sys.stdin)
built = list(jobs(asked["config"], asked["runs"]))
for version in asked["versions"]:
    for manifest in [*asked["manifests"], *built]:
        kubernetes_validate.validate(manifest, version, strict=True)
sys.stdout.write(json.dumps(built))
