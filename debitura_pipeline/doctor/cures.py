"""Suggest a fix for an API error that does not carry one, by HTTP status and by the setting that holds the address."""

from __future__ import annotations

from urllib.parse import urlsplit

from debitura_pipeline.errors import DebituraError, RateLimited

NOT_RETRIED = ". Not retried."
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, SERVER_ERROR = 400, 401, 403, 404, 500


def unreached(error: DebituraError, url: str, variable: str | None) -> tuple[str, str]:
    """Split an API error into fault and cure. The error's own advice is used if its text has any."""
    fault, advice, rest = error.fault.partition(". Check ")
    if not advice:
        return error.fault, api_cure(error, url, variable)
    cure = f"Check {rest.removesuffix(NOT_RETRIED).rstrip('.')}."
    is_proxy = "proxy" in fault  # then the API's address is not the cause
    return f"{fault}.", cure if is_proxy else f"{cure} The address comes from {variable or 'DEBITURA_ENVIRONMENT'}."


def api_cure(error: DebituraError, url: str, variable: str | None) -> str:
    """What to do about `error`. `variable`: the setting that holds the address, None for Debitura's own."""
    if error.cure:
        return error.cure if variable is None else f"{error.cure} The address comes from {variable}."
    status = error.facts.get("status")
    where = variable or "DEBITURA_ENVIRONMENT"
    if isinstance(error, RateLimited):
        return "Another program is using up this key's rate limit: wait a minute, then run `debitura doctor` again."
    if not isinstance(status, int):
        return f"Check {where} and the network, then run `debitura doctor` again."
    if status == UNAUTHORIZED:
        return (
            "Check DEBITURA_API_KEY, and that it was issued for this environment (DEBITURA_ENVIRONMENT; test and production "
            "have separate keys)."
        )
    if status == FORBIDDEN:
        return "Ask Debitura whether this key and this machine's IP address may use the Referral Partner API."
    if status >= SERVER_ERROR:
        return "The API has a problem: try again later; a nightly run retries automatically."
    path = urlsplit(url).path
    if status == NOT_FOUND and path:
        return f"{where} contains the path {path}; the API's own address has none. Remove it."
    if status < BAD_REQUEST:
        return f"Set {where} to the address that it redirects to, if that is the API's."
    return f"Check {where}: the server at that address does not seem to be the Referral Partner API."
