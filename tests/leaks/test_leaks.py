"""Nothing personal and nothing secret at rest: not in a file, not in a log, not in a message, whatever was done and went wrong.

One partner's day: nights, onboarding, registering, submitting, events, alerts, with people in everything that it reads. Then every
byte that is left of it is searched.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.settings import load_settings
from debitura_sandbox.server import embedded
from tests.leaks.marked import COMPANY, KEY, PERSON, REFUSED_WITH_TEXT, SIGNED, claims, deliveries, roster
from tests.source.rows import as_csv, put
from tests.support import leaks
from tests.support.command import Said, debitura, environment
from tests.support.echoing import Gateway, echoing
from tests.support.forks import fork_server
from tests.support.parsed import reuse_parse
from tests.support.receiver import Receiver, receiving
from tests.support.sandbox import EmbeddedSandbox, RunningSandbox
from tests.webhooks.deliveries import SECRET, RunningReceiver

API_KEY, PRIVACY_KEY = "a-key-that-must-not-be-seen-7712", "pseudonyms are made with this 5519"
ALERT_PATH, HEARTBEAT_PATH = "alert-path-that-must-not-be-seen", "beat-path-that-must-not-be-seen"
LISTS = ("/clients", "/cases", "/reporting/transactions")
SIMULATED = "sandbox/state.json"
HOLDS_COMPANIES = ("warehouse.duckdb", "landing/", "published/", "reports/")
JOB = """
import sys
from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.keys import CLIENTS
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.opening import private_umask
job, *keys = sys.argv[1:]
with private_umask(), open_instance(load_settings()) as instance:
    if keys:
        instance.add_dynamic_partitions(CLIENTS.name, keys)
    outcome = defs.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=keys[0] if keys else None, raise_on_error=False)
    sys.exit(0 if outcome.success else 1)
"""


class Day:
    """The partner's commands, and everything that they said. `printed_links`: the answer that prints links, as it is to."""

    def __init__(self, folder: Path, sandbox: RunningSandbox, gateway: Gateway, alerts: Receiver) -> None:
        self.folder, self.data, self.sandbox, self.gateway = folder, folder / "data", sandbox, gateway
        self.said: list[Said] = []
        self.env = {
            "DEBITURA_DATA_DIR": str(self.data), "DEBITURA_PRIVACY_KEY": PRIVACY_KEY, "DEBITURA_API_URL": gateway.url,
            "DEBITURA_API_KEY": API_KEY, "DEBITURA_CUSTOMER_API_URL": gateway.url + urlsplit(sandbox.customer_url).path,
            "DEBITURA_ROSTER": str(folder / "roster.csv"), "DEBITURA_CLAIMS": str(folder / "claims.csv"),
            "DEBITURA_WRITES": "clients,cases", "DEBITURA_ALERTS": alerts.url(ALERT_PATH), "DEBITURA_WEBHOOK_SECRETS": SECRET,
            "DEBITURA_HEARTBEAT_URL": f"http://127.0.0.1:{alerts.port}/{HEARTBEAT_PATH}",
        }  # fmt: skip

    def run(self, *arguments: str, before: str = "") -> Said:
        self.said.append(debitura(*arguments, env=self.env, before=before))
        return self.said[-1]

    def job(self, *arguments: str) -> Said:
        said = fork_server().run(JOB, arguments, self.folder, environment(self.env), 240)
        self.said.append(Said(*said))
        return self.said[-1]


@pytest.mark.timeout(900)
def test_nothing_personal_and_no_secret_is_left_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    monkeypatch.setenv("DEBITURA_SANDBOX_KEY", API_KEY)
    world = ["--clients", "6", "--cases", "150", "--transactions", "260", "--no-rate-limit"]
    with embedded.running(data, arguments=world) as found, echoing(found.url, PERSON) as gateway, receiving() as alerts:
        sandbox = EmbeddedSandbox(found)
        day = Day(tmp_path, sandbox, gateway, alerts)
        tenant = register(day)
        submit(day, tenant)
        receive(day, tenant)
        spend_nights(day)
        personal = sandbox.personal()
        told = json.dumps(alerts.alerts)
    assert len(personal) > 150 and gateway.tokens and all(token.startswith("eyJ") for token in gateway.tokens)
    secrets = [API_KEY, PRIVACY_KEY, ALERT_PATH, HEARTBEAT_PATH, SECRET, *headers(gateway)]
    personal = [text for text in personal if PERSON.lower() not in text.lower()]
    marks = {text: leaks.every_spelling(text) for text in [PERSON, COMPANY, KEY, *secrets]}
    found_in = leaks.find(data, [*marks, *personal], lambda text: marks.get(text) or leaks.spellings(text))
    assert found_in.pop(SIMULATED) == {COMPANY, KEY}, "the simulated API's own"
    assert {file: texts for file, texts in found_in.items() if texts != {COMPANY}} == {}
    assert [file for file in found_in if not file.startswith(HOLDS_COMPANIES)] == []
    captured = capfd.readouterr()
    printed = "\n".join(one.out + one.err for one in day.said)
    assert "Traceback" not in printed
    printed += captured.out + captured.err
    needles = marks | {text: leaks.spellings(text) for text in personal}
    assert leaks.search(printed.encode(), needles) == []
    told = told.replace(f"/{ALERT_PATH}", "")  # where they were posted to
    assert len(alerts.titles) >= 3 and leaks.search(told.encode(), needles) == []
    for file in [data, *data.rglob("*")]:
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def headers(gateway: Gateway) -> set[str]:
    """The part that all tokens begin with."""
    return {token.partition(".")[0] + "." for token in gateway.tokens}


def register(day: Day) -> str:
    """From the roster to every state that a client can have. A signed client's tenant, for claims."""
    sandbox = day.sandbox
    sandbox.admin("clients", {"tenant": "unsigned", "signed": False, "cases": 2, "transactions": 0})
    day.gateway.refused |= {REFUSED_WITH_TEXT: 400}
    put(day.folder / "roster.csv", as_csv(roster()))
    assert day.run("sync", "--only", "clients,cases").status in (0, 1)
    plan = str(day.data / "clients-plan.json")
    assert day.run("clients", "plan", "--out", plan, "--json").status == 0
    assert day.run("clients", "apply", plan).status == 1
    states = json.loads(day.run("clients", "status", "--json").out)["summary"]
    assert states.keys() >= {"invalid", "pending_signature", "needs_linking", "linked_elsewhere", "refused"}, states
    links = debitura("clients", "links", env=day.env)
    assert links.status == 0 and PERSON in links.out, "printed, and nowhere else"
    day.said.append(Said(0, "", links.err))
    return str(sandbox.get("/clients", {"OnboardingDone": "true"})["clients"][0]["externalTenantId"])


def submit(day: Day, tenant: str) -> None:
    """Claims that are sent, refused, in doubt, waiting and invalid; then files that cannot be read as a whole."""
    day.gateway.refused |= {"INV-refused": 422, "INV-doubt": 500}
    put(day.folder / "claims.csv", as_csv(claims(tenant)))
    plan = str(day.data / "cases-plan.json")
    assert day.run("cases", "plan", "--out", plan, "--json").status == 0
    assert day.run("cases", "apply", plan).status == 1
    states = json.loads(day.run("cases", "status", "--json").out)["summary"]
    assert states.keys() >= {"submitted", "refused", "sent", "waiting_for_client", "invalid"}, states
    day.job("outbound")
    whole = (day.folder / "claims.csv").read_text()
    for content in (whole.partition("\n")[2], whole + f'{PERSON},"{PERSON}', whole.replace("\n", f'\n{PERSON},"', 1)):
        put(day.folder / "claims.csv", content)
        day.run("cases", "plan")
    put(day.folder / "claims.csv", whole)


def receive(day: Day, tenant: str) -> None:
    """Events of every kind, forged and malformed ones too, then the run that handles them."""
    case = str(day.sandbox.truth("cases")[0]["id"])
    receiver = RunningReceiver(day.data, day.env)
    try:
        for body, signature, status in deliveries(tenant, case):
            assert receiver.post(body, signature) in ((status,) if status else (200, 400)), body
        day.said.append(Said(0, json.dumps(receiver.health()) + "".join(receiver.said), ""))
    finally:
        receiver.terminate()
    day.job("refresh")


def misbehave(sandbox: RunningSandbox) -> None:
    """Bad rows of every kind, unknown fields, broken answers: by each a row might get into a message."""
    sandbox.faults(
        *({"kind": kind, "path": path} for path in LISTS for kind in ("html", "reset")),
        {"kind": "bad_row", "how": "no_id", "path": "/clients", "row": 1, "times": 0},
        {"kind": "bad_row", "how": "bad_date", "path": "/cases", "query": "FromDate=", "row": 2, "times": 0},
        {"kind": "drift", "path": "/cases", "times": 0},
        {"kind": "status", "path": "/oauth/token", "status": 500},
    )


def spend_nights(day: Day) -> None:
    """A client signs and is loaded; a night with every kind of trouble, syncs that fail, what looks at it all, a refused key."""
    sandbox = day.sandbox
    sandbox.admin("sign", {"tenant": SIGNED})
    added = sandbox.admin("clients", {"tenant": "new one", "cases": 4, "transactions": 5})
    misbehave(sandbox)
    reuse_parse(load_settings(day.env))
    night = day.run("nightly")
    # Lifecycles that nobody knows contradict the API's counts of the known ones.
    assert (night.status, "proof contradicted: cases" in night.out) == (1, True), night.out + night.err
    assert sandbox.log()["fault bad_row"] >= 2
    assert day.job("onboarding", ClientRef("new one", added["creditorId"]).key).status == 0, day.said[-1].err
    path = "/reporting/transactions"
    sandbox.faults({"kind": "bad_row", "how": "bad_amount", "path": path, "row": 4, "times": 0})
    assert day.run("sync", "--only", "transactions").status == 0, day.said[-1].err
    sandbox.faults()
    sandbox.faults({"kind": "null_rows", "path": path, "times": 0})
    quick = "import debitura_pipeline.api.client as c; c.FIRST_BACKOFF_S = 0.001"
    assert day.run("sync", before=quick).status == 1
    sandbox.faults()
    for command in ("doctor", "reconcile", "verify"):
        day.run(command)
    day.run("report", "--client", SIGNED)
    day.run("watch", "--once")
    status = day.run("status")
    assert any("in quarantine" in line for line in status.out.splitlines()), "there were bad rows"
    day.env["DEBITURA_API_KEY"] = "refused"
    assert day.run("nightly").status == 1
