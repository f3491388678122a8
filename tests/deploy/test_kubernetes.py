"""The files in `deploy/kubernetes/` fit Kubernetes' schemas and Dagster's launcher; a run's pod has its partner's Secret alone.

Dagster's chart itself is not on any package index: `CHART` has the keys that we use, as its schema had them.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.run_coordinator import SubmitRunContext

from debitura_pipeline.orchestration.run_pods import CONFIG_TAG, PartnerPodCoordinator, pod_tags
from debitura_pipeline.orchestration.run_queue import PartnerRunCoordinator
from tests.deploy.programs import run
from tests.support.sandbox import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
PYTHON = ROOT / ".venv-deploy" / "bin" / "python"
MANIFESTS = sorted(set(KUBERNETES.glob("*.yaml")) - {KUBERNETES / "values.yaml"})
VERSIONS = ["1.29", "1.37"]
PREFIX = "debitura-partner-"
OTHER = '{"pod_spec_config": {"volumes": [{"name": "x", "secret": {"secretName": "another"}}]}}'


@cache
def documents() -> list[dict[str, Any]]:
    return [found for path in MANIFESTS for found in yaml.safe_load_all(path.read_text())]


@cache
def values() -> dict[str, Any]:
    return dict(yaml.safe_load((KUBERNETES / "values.yaml").read_text()))


# The config of `dagster.yaml` by the value of the chart that it comes from (templates/helpers/instance/_run-launcher.tpl).
LAUNCHER = {
    "imagePullPolicy": "image_pull_policy",
    "loadInclusterConfig": "load_incluster_config",
    "failPodOnRunFailure": "fail_pod_on_run_failure",
    "envVars": "env_vars",
    "resources": "resources",
    "labels": "labels",
    "volumes": "volumes",
    "volumeMounts": "volume_mounts",
    "securityContext": "security_context",
}
RUN = {"podSpecConfig": "pod_spec_config", "jobSpecConfig": "job_spec_config"}


def launcher_config() -> dict[str, Any]:
    given = values()["runLauncher"]["config"]["k8sRunLauncher"]
    of_run = given["runK8sConfig"]
    assert given.keys() == {*LAUNCHER, "runK8sConfig"}
    assert of_run.keys() == RUN.keys()
    return {
        "service_account_name": values()["global"]["serviceAccountName"],
        "instance_config_map": "debitura-dagster-instance",
        "postgres_password_secret": values()["global"]["postgresqlSecretName"],
        "dagster_home": values()["global"]["dagsterHome"],
        **{LAUNCHER[name]: value for name, value in given.items() if name in LAUNCHER},
        "run_k8s_config": {RUN[name]: value for name, value in of_run.items()},
    }


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    """The Job of a run of partner acme_eu, after all manifests and it were found to fit the schemas."""
    assert PYTHON.exists(), "`make test` sets up .venv-deploy, which this test needs"
    tags = pod_tags({"dagster/partition": "acme_eu"}, PREFIX)
    asked = {"versions": VERSIONS, "manifests": documents(), "config": launcher_config(), "runs": [tags]}
    program = ROOT / "tests" / "deploy" / "kubernetes_checks.py"
    done = run([PYTHON, program], text=json.dumps(asked))
    assert done.returncode == 0, done.stderr[-3000:]
    (found,) = json.loads(done.stdout)
    return dict(found)


def test_a_run_s_pod_has_the_secret_of_its_own_partner_and_nobody_else_s(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]
    secrets = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
    assert secrets == [{"secretName": "debitura-partner-acme-eu", "defaultMode": 0o400}]
    (container,) = pod["spec"]["containers"]
    assert {"name": "partner", "mountPath": "/run/partners/acme_eu", "readOnly": True} in container["volumeMounts"]
    assert [source for source in container["envFrom"] if "secretRef" in source] == []
    assert {variable["name"] for variable in container["env"] if "valueFrom" in variable} == {"DAGSTER_PG_PASSWORD"}


def test_a_run_s_pod_is_not_root_writes_in_its_volumes_only_and_is_not_started_twice(job: dict[str, Any]) -> None:
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert (job["spec"]["backoffLimit"], spec["restartPolicy"]) == (0, "Never")
    assert not spec["automountServiceAccountToken"]
    assert_confined(spec, container)
    assert {"/tmp", "/var/lib/debitura", "/var/lib/dagster"} <= {
        mount["mountPath"] for mount in container["volumeMounts"]
    }
    assert container["resources"]["limits"]["memory"] == "3Gi"
    assert job["spec"]["template"]["metadata"]["labels"]["debitura/part"] == "run"


def assert_confined(spec: dict[str, Any], container: dict[str, Any]) -> None:
    pod, own = spec["securityContext"], container["securityContext"]
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["fsGroup"]) == (True, 10001, 10001)
    assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]) == (True, False)
    assert own["capabilities"] == {"drop": ["ALL"]}


def test_services_are_confined_as_runs_are_and_have_no_partner_s_secret() -> None:
    (code,) = values()["dagster-user-deployments"]["deployments"]
    for part in (code, values()["dagsterWebserver"], values()["dagsterDaemon"]):
        assert_confined({"securityContext": part["podSecurityContext"]}, part)
        assert "envSecrets" not in part
        assert [volume for volume in part["volumes"] if "secret" in volume] == []
    for deployment in [found for found in documents() if found["kind"] == "Deployment"]:
        spec = deployment["spec"]["template"]["spec"]
        assert_confined(spec, spec["containers"][0])
        assert (deployment["spec"]["replicas"], spec["automountServiceAccountToken"]) == (1, False)


IMAGE, POD = {"repository", "tag", "pullPolicy"}, {"podSecurityContext", "securityContext", "resources", "labels"}
PART = {"image", "env", "volumes", "volumeMounts", *POD}
# Keys of the chart that we use, by the key they stand under; its schema takes no others there.
CHART: dict[str, set[str]] = {
    "": {
        "global", "generatePostgresqlPasswordSecret", "rbacEnabled", "serviceAccount", "telemetry", "postgresql", "rabbitmq",
        "redis", "flower", "computeLogManager", "dagster-user-deployments", "dagsterWebserver", "dagsterDaemon", "retention",
        "runLauncher",
    },
    "global": {"postgresqlSecretName", "dagsterHome", "serviceAccountName"},
    "postgresql": {
        "enabled", "postgresqlHost", "postgresqlUsername", "postgresqlDatabase", "postgresqlParams", "service", "image",
    },
    "dagster-user-deployments": {"enabled", "enableSubchart", "deployments"},
    "dagster-user-deployments.deployments": {"name", "port", "dagsterApiGrpcArgs", "includeConfigInLaunchedRuns", *PART},
    "dagsterWebserver": {"replicaCount", "service", *PART},
    "dagsterDaemon": {
        "enabled", "runCoordinator", "runMonitoring", "runRetries", "sensors", "schedules", *PART,
    },
    "dagsterDaemon.runCoordinator": {"enabled", "type", "config"},
    "dagsterDaemon.runCoordinator.config.customRunCoordinator": {"module", "class", "config"},
    "dagsterDaemon.runMonitoring": {
        "enabled", "startTimeoutSeconds", "cancelTimeoutSeconds", "maxResumeRunAttempts", "pollIntervalSeconds",
        "freeSlotsAfterRunEndSeconds",
    },
    "dagsterDaemon.runRetries": {"enabled", "maxRetries"},
    "dagsterDaemon.sensors": {"useThreads", "numWorkers"},
    "retention": {"enabled", "sensor", "schedule"},
    "runLauncher": {"type", "config"},
}  # fmt: skip


def test_values_have_keys_of_the_chart_only() -> None:
    for place, known in CHART.items():
        found: Any = values()
        for name in filter(None, place.split(".")):
            found = found[name]
        for part in found if isinstance(found, list) else [found]:
            assert part.keys() <= known, f"{place}: {part.keys() - known}"
    assert values()["computeLogManager"] == {"type": "NoOpComputeLogManager"}


def test_values_and_pods_are_of_the_versions_that_are_locked() -> None:
    text = (KUBERNETES / "values.yaml").read_text()
    assert f"version {version('dagster')})" in text
    tags = {f":{version('debitura-pipeline')}", f"tag: {version('debitura-pipeline')}"}
    images = [
        line
        for path in KUBERNETES.glob("*.yaml")
        for line in path.read_text().splitlines()
        if "debitura-pipeline:" in line
    ]
    assert all(line.endswith(tuple(tags)) for line in images) and f"tag: {version('debitura-pipeline')}" in text


def test_the_queue_of_the_values_is_one_that_dagster_can_make() -> None:
    given = values()["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    with dg.instance_for_test(overrides={"run_coordinator": given}) as instance:
        queue = instance.run_coordinator
        assert isinstance(queue, PartnerPodCoordinator)
        assert isinstance(queue, PartnerRunCoordinator)
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        assert (limits.max_concurrent_runs, len(limits.tag_concurrency_limits or ())) == (20, 1)
        started = dg.DagsterRunStatus.STARTED  # has been queued: what is new is the tag
        asked = [{"debitura/partner": "acme", CONFIG_TAG: OTHER}, {CONFIG_TAG: OTHER}]
        runs = [
            instance.create_run_for_job(dg.GraphDefinition(name="night").to_job(), tags=tags, status=started)
            for tags in asked
        ]
        given = [queue.submit_run(SubmitRunContext(run, workspace=None)).tags[CONFIG_TAG] for run in runs]  # type: ignore[arg-type]
        assert f"{PREFIX}acme" in given[0] and "another" not in given[0]
        assert (given[1], pod_tags({}, PREFIX)) == ("{}", {})


def test_partners_file_names_the_files_that_its_secret_has() -> None:
    (file,) = (found["data"]["partners.toml"] for found in documents() if found["kind"] == "ConfigMap")
    (secret,) = (found for found in documents() if found["metadata"]["name"] == f"{PREFIX}acme")
    named = {line.partition(" = ")[2].strip('"') for line in file.splitlines() if "_file = " in line}
    assert named == {f"/run/partners/acme/{key}" for key in secret["stringData"]}
    assert set(secret["stringData"].values()) == {""}


def test_policies_name_every_part_and_begin_with_nothing() -> None:
    policies = [found for found in documents() if found["kind"] == "NetworkPolicy"]
    nothing, *others = policies
    assert nothing["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    parts = {"code-server", "daemon", "web", "run", "lookout", "receiver"}
    text = (KUBERNETES / "values.yaml").read_text() + json.dumps(documents())
    assert all(part in json.dumps(others) and f"debitura/part: {part}" in text.replace('"', "") for part in parts)
