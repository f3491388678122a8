"""What to do about an answer of the API, or its absence, where the error does not know it: by status and by address."""

from __future__ import annotations

from urllib.parse import urlsplit

from debitura_pipeline.errors import DebituraError, RateLimited

NOT_RETRIED = ". Not retried."
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, SERVER_ERROR = 401, 403, 404, 500


def unreached(error: DebituraError, url: str, variable: str | None) -> tuple[str, str]:
    """What an API's error says, and its cure: the error's own advice where its text has one."""
    fault, advice, rest = error.fault.partition(". Check ")
    if not advice:
        return error.fault, api_cure(error, url, variable)
    cure = f"Check {rest.removesuffix(NOT_RETRIED).rstrip('.')}."
    is_proxy = "proxy" in fault  # the address of the API is not what to look at then
    return f"{fault}.", cure if is_proxy else f"{cure} The address is that of {variable or 'DEBITURA_ENVIRONMENT'}."


def api_cure(error: DebituraError, url: str, variable: str | None) -> str:
    """`variable`: the setting that holds the address, None where it is Debitura's own."""
    if error.cure:
        return error.cure if variable is None else f"{error.cure} The address is in {variable}."
    status = error.facts.get("status")
    where = variable or "DEBITURA_ENVIRONMENT"
    if isinstance(error, RateLimited):
        return "Another program uses up the limit of this key: wait a minute, then run `debitura doctor` again."
    if not isinstance(status, int):
        return f"Check {where} and the network, then run `debitura doctor` again."
    if status == UNAUTHORIZED:
        return (
            "Check DEBITURA_API_KEY, and that it was issued for this environment (DEBITURA_ENVIRONMENT; test and production have "
            "keys of their own)."
        )
    if status == FORBIDDEN:
        return "Ask Debitura whether this key, and this machine's address, may use the Referral Partner API."
    if status >= SERVER_ERROR:
        return "The fault is on the API's side: try again later; a night that meets it tries again by itself."
    path = urlsplit(url).path
    if status == NOT_FOUND and path:
        return f"{where} holds the path {path}; the API's own address has none. Try it without."
    if status < BAD_REQUEST:
        return f"Set {where} to the address that it redirects to, if that is the API's."
    return f"Check {where}: what answers there does not seem to be the Referral Partner API."


BAD_REQUEST = 400
