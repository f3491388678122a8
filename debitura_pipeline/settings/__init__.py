"""Settings: declared once in `declared.py`, read from the environment and `.env`, checked, frozen."""

from debitura_pipeline.secret import Secret
from debitura_pipeline.settings.addresses import API_HOSTS, CUSTOMER_HOSTS, LOOPBACK, address_options
from debitura_pipeline.settings.load import API_PER_MINUTE, load_common, load_partner, load_settings, load_work_queue
from debitura_pipeline.settings.model import (
    PROJECT_ROOT,
    Alerts,
    Concurrency,
    DagsterPlace,
    Endpoint,
    Environment,
    Outbound,
    Privacy,
    Settings,
    SharedStore,
    WarehouseUrl,
    Webhooks,
    WorkQueue,
)
from debitura_pipeline.settings.partner_choice import choose_partner, open_partners, served_partners
from debitura_pipeline.settings.privacy_key import PRIVACY_KEY_FILE, key_fingerprint
from debitura_pipeline.settings.readers import bytes_of
from debitura_pipeline.settings.schedule import DEFAULT_SCHEDULE, hours_later, next_due

__all__ = [
    "API_HOSTS",
    "API_PER_MINUTE",
    "CUSTOMER_HOSTS",
    "DEFAULT_SCHEDULE",
    "LOOPBACK",
    "PRIVACY_KEY_FILE",
    "PROJECT_ROOT",
    "Alerts",
    "Concurrency",
    "DagsterPlace",
    "Endpoint",
    "Environment",
    "Outbound",
    "Privacy",
    "Secret",
    "Settings",
    "SharedStore",
    "WarehouseUrl",
    "Webhooks",
    "WorkQueue",
    "address_options",
    "bytes_of",
    "choose_partner",
    "hours_later",
    "key_fingerprint",
    "load_common",
    "load_partner",
    "load_settings",
    "load_work_queue",
    "next_due",
    "open_partners",
    "served_partners",
]
