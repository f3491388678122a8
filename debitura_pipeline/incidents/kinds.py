"""The kinds of incident: title, what it means for the figures, and the command to run next. Each fact once.

`{subject}` and `{shown}` in a command stand for what the incident is about and how it is displayed.
"""

from __future__ import annotations

from dataclasses import dataclass

from debitura_pipeline.incidents import causes

OLD = "The published figures are those of the last good nightly run; nothing newer was published."
UNTOUCHED = "The published figures are not affected."


@dataclass(frozen=True)
class IncidentKind:
    """One kind. `figures`: what it means for the figures. `command`: what to run next. `note`: how to go on from there."""

    name: str
    title: str
    figures: str
    command: str
    note: str = ""


NIGHT_LATE = "night_late"
DAEMON_STALE = "daemon_stale"
RUN_LOCK_HELD = "run_lock_held"
TOTALS_DIFFER = "totals_differ"
QUARANTINE = "quarantine"
SCHEMA_DRIFT = "schema_drift"
CLIENT_UNKNOWN, CLIENT_REFUSED, CLIENT_WAITING = "client_unknown", "client_refused", "client_waiting"
CLAIM_UNKNOWN, CLAIM_REFUSED, CLAIM_WAITING = "claim_unknown", "claim_refused", "claim_waiting"
CLAIM_NEEDS_HUMAN = "claim_needs_human"
SOURCE_UNREADABLE, OUTBOUND_STOPPED = "source_unreadable", "outbound_stopped"
SUBSCRIPTION_OFF = "subscription_off"
STALE_DELIVERIES = "stale_deliveries"
EVENTS_WAITING = "events_waiting"

_ALL = (
    IncidentKind(causes.NIGHT_FAILED, "the nightly run failed", OLD, "debitura doctor", "Then run `debitura nightly`."),
    IncidentKind(NIGHT_LATE, "the nightly run is late", OLD, "debitura nightly"),
    IncidentKind(
        causes.NIGHT_UNPROVEN,
        "the figures are not proven complete",
        "Some figures could not be proven complete; they may lack rows.",
        "debitura reconcile",
    ),
    IncidentKind(
        TOTALS_DIFFER,
        "the API's totals differ from the warehouse",
        "The figures contradict the API's own totals: rows are missing, or there are too many.",
        "debitura reconcile",
        "If they still differ, run `debitura sync --full` to read everything again.",
    ),
    IncidentKind(
        causes.SHRINK_REFUSED,
        "a merge that would delete many rows was refused",
        OLD,
        "debitura reconcile",
        "If the rows are really gone, run `debitura sync --allow-shrink`.",
    ),
    IncidentKind(
        causes.KEY_REFUSED,
        "the API refuses the key",
        OLD,
        "debitura doctor",
        "Set a valid DEBITURA_API_KEY, then run `debitura nightly`.",
    ),
    IncidentKind(
        causes.PERMISSION_MISSING,
        "the API does not permit a request of this key",
        OLD,
        "debitura doctor",
        "Ask Debitura for the permission to read what is named above with this key, then run `debitura nightly`.",
    ),
    IncidentKind(
        causes.IDENTITY_REFUSED,
        "the data belongs to another API, partner or privacy key",
        OLD,
        "debitura doctor",
        "Correct the setting that it names, then run `debitura nightly`.",
    ),
    IncidentKind(
        causes.BUDGET_SPENT,
        "the request budget is spent",
        OLD,
        "debitura nightly",
        "It resumes where it stopped once the budget is renewed.",
    ),
    IncidentKind(
        causes.API_UNREACHABLE, "the API gives no usable answer", OLD, "debitura doctor", "Then run `debitura nightly`."
    ),
    IncidentKind(
        causes.WAREHOUSE_UNREADABLE,
        "the warehouse cannot be used",
        OLD,
        "debitura doctor",
        "Then run `debitura nightly`.",
    ),
    IncidentKind(
        causes.JOURNAL_DAMAGED,
        "the journal of a sync is damaged",
        OLD,
        "debitura repair",
        "Then run `debitura nightly`.",
    ),
    IncidentKind(
        causes.DISK_FULL,
        "a disk is full",
        "Nothing newer can be stored or published until there is space.",
        "debitura doctor",
        "Free some space, then run `debitura nightly`.",
    ),
    IncidentKind(
        DAEMON_STALE,
        "the daemon is not running",
        "Schedules and sensors do not run: figures become stale, and new clients and events have to wait.",
        "debitura dev",
        "Or restart the service that runs it.",
    ),
    IncidentKind(
        RUN_LOCK_HELD,
        "a run that has ended still holds the run lock",
        "No other run can start until its process has ended; the figures become stale.",
        "debitura doctor",
        "It names the process. End it with `kill -9`: a process that is stopped does not react to anything else.",
    ),
    IncidentKind(
        QUARANTINE,
        "rows are in quarantine",
        "Rows that do not fit the contract are missing from the figures.",
        "debitura status",
        "ops.quarantine has each row with its reason.",
    ),
    IncidentKind(
        SCHEMA_DRIFT,
        "the API sends new fields or values",
        "Unknown fields are kept in the column `extra`; unknown values are shown as they came. The figures ignore both.",
        "debitura status",
        "ops.schema_drift lists what was seen.",
    ),
    IncidentKind(
        CLIENT_UNKNOWN,
        "the registration of a client has an unknown outcome",
        f"{UNTOUCHED} The client may or may not be registered.",
        "debitura clients apply",
    ),
    IncidentKind(
        CLIENT_REFUSED,
        "the registration of a client was refused",
        f"{UNTOUCHED} The client's cases and revenue are not attributed.",
        "debitura clients status",
        "Correct the client's row in the roster, then run `debitura clients apply`.",
    ),
    IncidentKind(
        CLIENT_WAITING,
        "a client has not signed",
        f"{UNTOUCHED} The client's claims cannot be submitted.",
        "debitura clients links --tenant {shown}",
        "It prints the link to send to the client.",
    ),
    IncidentKind(
        CLAIM_UNKNOWN,
        "the submission of a claim has an unknown outcome",
        f"{UNTOUCHED} The claim may or may not have become a case.",
        "debitura cases apply",
        "It looks the claim up before it sends anything.",
    ),
    IncidentKind(
        CLAIM_NEEDS_HUMAN,
        "a claim needs a decision by a human",
        f"{UNTOUCHED} The claim may or may not have become a case; nothing more is sent for it.",
        "debitura cases status",
        "Find out in Debitura's own interface whether it has a case, then run `debitura cases settle TENANT REFERENCE` with "
        "`--case ID` or `--no-case`.",
    ),
    IncidentKind(
        SOURCE_UNREADABLE,
        "the roster or the claims cannot be read",
        f"{UNTOUCHED} No client is registered and no claim submitted until it can be read.",
        "debitura doctor",
        "If rows are really gone, run `debitura clients apply --allow-shrink` or `debitura cases apply --allow-shrink`.",
    ),
    IncidentKind(
        OUTBOUND_STOPPED,
        "registering clients or submitting claims has stopped",
        f"{UNTOUCHED} Clients or claims wait to be sent.",
        "debitura {shown} apply",
    ),
    IncidentKind(
        CLAIM_REFUSED,
        "the submission of a claim was refused",
        f"{UNTOUCHED} The claim is not being collected.",
        "debitura cases status",
        "Correct the claim's row, then run `debitura cases apply`.",
    ),
    IncidentKind(
        CLAIM_WAITING,
        "a claim waits for its client",
        f"{UNTOUCHED} The claim is not being collected.",
        "debitura cases status",
    ),
    IncidentKind(
        SUBSCRIPTION_OFF,
        "a webhook subscription is switched off",
        "Events no longer arrive; changes appear with the next nightly run.",
        "debitura webhooks enable {shown}",
    ),
    IncidentKind(
        STALE_DELIVERIES,
        "authentic webhook deliveries are refused as stale",
        "Their events are not stored; the changes appear with the next nightly run.",
        "debitura doctor",
        "Compare the clocks; DEBITURA_WEBHOOK_TOLERANCE is the maximum age of a delivery.",
    ),
    IncidentKind(
        EVENTS_WAITING,
        "webhook events were received and not handled",
        "The changes that they announce are not in the figures yet.",
        "debitura nightly",
    ),
)
KINDS = {kind.name: kind for kind in _ALL}
