"""`debitura webhooks …`: the receiver, and the subscriptions at the API."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from debitura_pipeline.settings import load_settings

if TYPE_CHECKING:
    from debitura_pipeline.webhooks.subscriptions import Subscription

commands = typer.Typer(help="Receive webhook events, and manage the subscriptions at the API.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The subscription's id, from `debitura webhooks list`.", metavar="ID")]


@commands.command("serve", epilog="Example:  debitura webhooks serve --port 8480")
def receive(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 chooses a free one.")] = 8480,
) -> None:
    """Receive webhook deliveries until SIGTERM or Ctrl-C. Needs DEBITURA_WEBHOOK_SECRETS; a proxy must terminate TLS."""
    from debitura_pipeline.cli import console
    from debitura_pipeline.webhooks import serve as server

    settings = load_settings()
    server.require_secrets(settings)
    server.run_receiver(settings, host, port, console.say)


@commands.command("list")
def list_all() -> None:
    """Show all webhook subscriptions of the partner. Sends no write requests."""
    from debitura_pipeline.api.endpoint import open_endpoint
    from debitura_pipeline.cli import console
    from debitura_pipeline.webhooks.subscriptions import list_subscriptions

    settings = load_settings()
    with open_endpoint(settings) as endpoint:
        found = list_subscriptions(settings, endpoint)
    for one in found:
        sys.stdout.write(f"{one.id}  {_state(one)}  {one.url}\n    {', '.join(one.events)}\n")
    if not found:
        console.say("There are no subscriptions. `debitura webhooks subscribe --url https://…` creates one.")


@commands.command(
    "subscribe", epilog="Example:  debitura webhooks subscribe --url https://hooks.example.com/webhooks/debitura"
)
def subscribe(
    url: Annotated[str, typer.Option(help="Where to deliver to: https, port 443 or 8443.")],
    event: Annotated[
        list[str] | None, typer.Option(help="Event to subscribe to; may be repeated. All events if omitted.")
    ] = None,
    test_mode: Annotated[bool, typer.Option("--test-mode", help="Receive events of test data only.")] = False,
) -> None:
    """Create a subscription and print its signing secret, once. Needs `webhooks` in DEBITURA_WRITES."""
    from debitura_pipeline.api.endpoint import open_endpoint
    from debitura_pipeline.outbound.permission import WEBHOOKS, require_writes
    from debitura_pipeline.webhooks.subscriptions import EVENTS, SubscriptionChanges, check_url

    settings = load_settings()
    require_writes(settings, WEBHOOKS)
    check_url(url, is_embedded=settings.uses_embedded_sandbox)
    with open_endpoint(settings) as endpoint:
        made = SubscriptionChanges(settings, endpoint).subscribe(url, event or EVENTS, is_test=test_mode)
    sys.stdout.write(f"Subscribed: {made.id}\n")
    _print_secret(made)


@commands.command("rotate")
def rotate(subscription_id: Id) -> None:
    """Replace a subscription's signing secret and print the new one, once. Needs `webhooks` in DEBITURA_WRITES."""
    from debitura_pipeline.api.endpoint import open_endpoint
    from debitura_pipeline.outbound.permission import WEBHOOKS, require_writes
    from debitura_pipeline.webhooks.subscriptions import SubscriptionChanges

    settings = load_settings()
    require_writes(settings, WEBHOOKS)
    with open_endpoint(settings) as endpoint:
        changed = SubscriptionChanges(settings, endpoint).rotate(subscription_id)
    sys.stdout.write(f"Rotated: {changed.id}\n")
    _print_secret(changed)


@commands.command("enable")
def enable(subscription_id: Id) -> None:
    """Enable a subscription that was switched off. Needs `webhooks` in DEBITURA_WRITES."""
    from debitura_pipeline.api.endpoint import open_endpoint
    from debitura_pipeline.cli.typed import as_typed
    from debitura_pipeline.incidents.webhook_facts import forget_off
    from debitura_pipeline.outbound.permission import WEBHOOKS, require_writes
    from debitura_pipeline.webhooks.subscriptions import SubscriptionChanges

    settings = load_settings()
    require_writes(settings, WEBHOOKS)
    with open_endpoint(settings) as endpoint:
        changed = SubscriptionChanges(settings, endpoint).enable(subscription_id)
    forget_off(settings.data_dir, changed.id)
    sys.stdout.write(
        as_typed(
            f"Switched on: {changed.id}. Earlier events are not delivered again; run "
            "`debitura sync --only clients,cases` to read what may have changed.\n"
        )
    )


@commands.command("remove")
def remove(subscription_id: Id) -> None:
    """Delete a subscription and its delivery history. Needs `webhooks` in DEBITURA_WRITES."""
    from debitura_pipeline.api.endpoint import open_endpoint
    from debitura_pipeline.incidents.webhook_facts import forget_off
    from debitura_pipeline.outbound.permission import WEBHOOKS, require_writes
    from debitura_pipeline.webhooks.subscriptions import SubscriptionChanges

    settings = load_settings()
    require_writes(settings, WEBHOOKS)
    with open_endpoint(settings) as endpoint:
        SubscriptionChanges(settings, endpoint).remove(subscription_id)
    forget_off(settings.data_dir, str(UUID(subscription_id)))
    sys.stdout.write(f"Removed: {subscription_id.lower()}\n")


def _state(one: Subscription) -> str:
    state = "on " if one.is_active else "off"
    reason = f" ({one.disabled_reason})" if one.disabled_reason else ""
    return state + reason + (" test" if one.is_test else "")


def _print_secret(made: Subscription) -> None:
    """To standard output whatever the verbosity: the API never shows it again."""
    from debitura_pipeline.cli.typed import as_typed

    if made.secret is None:
        sys.stdout.write(
            as_typed(f"The response contains no secret; run `debitura webhooks rotate {made.id}` to get a new one.\n")
        )
        return
    sys.stdout.write(
        f"Secret: {made.secret.reveal()}\n"
        "It is shown only once and never stored. Add it to DEBITURA_WEBHOOK_SECRETS, separated by a comma if a former secret is "
        "still in use, and restart the receiver.\n"
    )
