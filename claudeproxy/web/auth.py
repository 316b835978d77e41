"""
Who a request comes from.
"""

from __future__ import annotations

from claudeproxy.core.access import OPEN_DOOR, KeyPolicy
from claudeproxy.errors import InvalidAPIKey, MissingAPIKey, OriginNotAllowed
from claudeproxy.interfaces import IKeyStore
from claudeproxy.web.cors import CrossOrigin
from claudeproxy.web.request import ProxyRequest

__all__ = ["authenticate"]


def authenticate(request: ProxyRequest, keys: IKeyStore, cross_origin: CrossOrigin) -> KeyPolicy:
    """
    Return the policy of the request's key.

    Both dialects' headers count on every route. Two different keys are refused: preferring one would hide from the
    client which of them its requests are charged to.

    :raises MissingAPIKey: there is none.
    :raises InvalidAPIKey: it is not one of ours.
    :raises OriginNotAllowed: no key is asked for, and the request may come from a page of another site.
    """
    if keys.is_open:
        if cross_origin.is_foreign(request):
            raise OriginNotAllowed(
                "Without a key this server answers only requests that are sent to localhost (Host) and by no page of "
                "another site (Origin); the operator can set API_KEY, or allow the page in CORS_ALLOWED_ORIGINS."
            )
        return OPEN_DOOR
    presented = _presented(request)
    if not presented:
        raise MissingAPIKey("No API key was presented: send it in Authorization, as a Bearer token, or in x-api-key.")
    if len(presented) > 1:
        raise InvalidAPIKey("Different API keys were presented at the same time.")
    policy: KeyPolicy | None = keys.lookup(presented.pop())
    if policy is None:
        raise InvalidAPIKey("The API key is not valid.")
    return policy


def _presented(request: ProxyRequest) -> set[bytes]:
    """
    Return the keys that the request carries. Other schemes than Bearer are a reverse proxy's business.
    """
    keys = {key.strip() for key in request.headers(b"X-Api-Key")}
    for value in request.headers(b"Authorization"):
        scheme, _, key = value.strip().partition(b" ")
        if scheme.lower() == b"bearer":
            keys.add(key.strip())
    keys.discard(b"")
    return keys
