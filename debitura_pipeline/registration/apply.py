"""Send what a plan says: an intent, committed, before each request; its outcome, committed, after it.

A request without an outcome leaves the client in doubt. `POST /clients` is idempotent on the tenant id, so a client in doubt is
sent again with the same body, and before all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.api.write_budget import WriteBudget
from debitura_pipeline.api.writes import WriteClient
from debitura_pipeline.errors import ApiError, RateLimited, TransientApiError
from debitura_pipeline.outbound.brake import Brake, Braked
from debitura_pipeline.registration.body import registration_body
from debitura_pipeline.registration.outcome import RegistrationOutcome, registration_outcome
from debitura_pipeline.registration.plan import PlannedClient
from debitura_pipeline.registration.record import Registration, write_registrations
from debitura_pipeline.registration.states import (
    LINKED,
    LINKED_ELSEWHERE,
    NEEDS_LINKING,
    PLANNED,
    REFUSALS,
    REFUSED,
    SENT,
    WITHDRAWN,
)
from debitura_pipeline.warehouse.engine import SqlWarehouse

PATH, WHAT = "/clients", "Registering a client"
UNKNOWN = "not answered; whether it was registered is unknown"
MAX_ODD = 3  # answers in a row that are not documented: one alone may be about its client, such as a gateway's 413
TRIES = 3  # per client and run while no answer comes; waits of 1 and 2 s between them
LIMITED_TRIES = 6  # waits that HTTP 429 asks for, a minute each if it states none
SILENT_429_WAIT_S = 60.0
MAX_WAIT_S = 60.0  # a longer wait is left to the next run
# A request without effect leaves these as they were: as `planned`, the next apply would send them without being asked to.
_RESTORED = frozenset({NEEDS_LINKING, WITHDRAWN, REFUSED, LINKED_ELSEWHERE, *LINKED})

OnOutcome = Callable[[PlannedClient, RegistrationOutcome], None]


@dataclass
class Applied:
    """What came of the clients that were sent. `stopped`: why the rest was not, None if all were."""

    outcomes: dict[str, RegistrationOutcome] = field(default_factory=dict)
    stopped: str | None = None


class Registrar:
    """Sends clients, one at a time. `on_outcome` is called after each."""

    def __init__(self, writer: WriteClient, budget: WriteBudget, warehouse: SqlWarehouse, runtime: Runtime) -> None:
        self._writer, self._budget, self._warehouse, self._runtime = writer, budget, warehouse, runtime
        self._records: dict[str, Registration] = {}

    async def send_all(self, clients: Sequence[PlannedClient], on_outcome: OnOutcome | None = None) -> Applied:
        """Send the clients whose plan says so, those in doubt first. Raises WarehouseError."""
        applied, brake, odd = Applied(), Brake("clients"), 0
        wanted = [client for client in clients if client.is_sent]
        for client in sorted(wanted, key=_turn):
            try:
                outcome = await self._send(client)
            except ApiError as error:
                applied.stopped = str(error)
                stored = self._records.get(client.tenant)
                if stored is not None and stored.state == SENT and stored != client.known:  # sent, and not answered
                    applied.outcomes[client.tenant] = RegistrationOutcome(SENT, stored.http_status, message=UNKNOWN)
                break
            applied.outcomes[client.tenant] = outcome
            if on_outcome is not None:
                on_outcome(client, outcome)
            odd = odd + 1 if outcome.ends_if_repeated else 0
            repeated = outcome.ends_if_repeated if odd == MAX_ODD else None
            applied.stopped = outcome.ends_apply or repeated or _braked(brake, outcome)
            if applied.stopped:
                break
        return applied

    async def _send(self, client: PlannedClient) -> RegistrationOutcome:
        """Send one client until there is an outcome, or the attempts of this run are used up: then it stays in doubt.

        Raises RateLimitExhausted, with nothing sent since the last outcome, and ApiError if no request can be sent.
        """
        assert client.row is not None and client.row.row is not None
        self._records[client.tenant] = client.known or Registration(client.tenant, client.row.row_hash, PLANNED)
        body, silent, limited = registration_body(client.row.row), 0, 0
        while True:
            is_in_doubt = client.state == SENT or silent > 0
            try:
                answer = await self._writer.send("POST", PATH, body, what=WHAT, on_turn=lambda: self._intend(client))
            except RateLimited as error:
                limited += 1
                outcome = RegistrationOutcome(PLANNED, 429, message="HTTP 429: had no effect", ends_apply=str(error))
                outcome = self._keep(client, outcome, is_in_doubt=is_in_doubt)
                if limited == LIMITED_TRIES:
                    return outcome
                self._budget.pause(SILENT_429_WAIT_S if error.wait_s is None else error.wait_s)
            except TransientApiError as error:
                silent += 1
                if silent == TRIES or (error.wait_s or 0.0) > MAX_WAIT_S:
                    outcome = RegistrationOutcome(SENT, error.facts.get("status"), message=UNKNOWN)
                    return self._keep(client, outcome, is_in_doubt=True)
                await self._runtime.sleep(max(error.wait_s or 0.0, 2.0 ** (silent - 1)))
            else:
                outcome = registration_outcome(answer, client.row.row.tenant)
                return self._keep(client, outcome, is_in_doubt=is_in_doubt)

    def _intend(self, client: PlannedClient) -> None:
        """Commit that the client is about to be sent."""
        assert client.row is not None
        known = self._records[client.tenant]
        self._write(
            replace(
                known,
                row_hash=client.row.row_hash,
                state=SENT,
                http_status=None,
                error_types=None,
                attempts=known.attempts + 1,
                intent_at=self._runtime.now(),
                outcome_at=None,
                message=UNKNOWN,
            )
        )

    def _keep(self, client: PlannedClient, outcome: RegistrationOutcome, *, is_in_doubt: bool) -> RegistrationOutcome:
        """Commit an outcome. A request without effect resolves nothing about one that was never answered."""
        known = self._records[client.tenant]
        if outcome.state == PLANNED:
            if not is_in_doubt and client.known is not None and client.known.state in _RESTORED:
                self._write(replace(client.known, attempts=known.attempts, intent_at=known.intent_at))
                return replace(outcome, state=client.known.state)
            if is_in_doubt:
                outcome = replace(outcome, state=SENT, message=UNKNOWN)
        self._write(
            replace(
                known,
                state=outcome.state,
                http_status=outcome.http_status,
                error_types=", ".join(dict.fromkeys(outcome.error_types)) or None,
                outcome_at=None if outcome.state == SENT else self._runtime.now(),
                creditor_id=outcome.creditor_id or known.creditor_id,
                message=outcome.message,
            )
        )
        return outcome

    def _write(self, record: Registration) -> None:
        write_registrations(self._warehouse, [record])
        self._records[record.tenant] = record


def _turn(client: PlannedClient) -> int:
    """Clients in doubt first, unless their own rows may be why they were answered oddly: those would hold up the others."""
    if client.state != SENT:
        return 1
    is_odd = client.known is not None and client.known.http_status in REFUSALS
    return 2 if is_odd else 0


def _braked(brake: Brake, outcome: RegistrationOutcome) -> str | None:
    try:
        brake.note(is_bad=outcome.is_bad)
    except Braked as braked:
        return str(braked)
    return None
