"""
``HTTPS_PROXY`` and its like: upstreams are connected to directly, so a proxy that the environment asks for is refused
aloud, and not passed by in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # not in its stubs

from hyperlink import URL

from claudeproxy.config import Config, ConfigError

__all__ = ["check_proxy_variables"]


def check_proxy_variables(config: Config, environ: Mapping[str, str]) -> None:
    """
    Refuse an environment that names a proxy for an upstream.

    The names are those of curl, in either case; ``NO_PROXY`` counts, and this machine is never behind a proxy.

    :raises ConfigError: there is such an upstream, and ``UPSTREAM_IGNORE_PROXY`` is false.
    """
    if config.routing.ignore_proxy_variables:
        return
    excepted = {"no": environ.get("no_proxy") or environ.get("NO_PROXY") or ""}
    for upstream in (*config.upstreams, config.upstream):
        url = URL.from_text(upstream.base_url)
        if not (upstream.enabled and upstream.configured) or _is_this_machine(url.host):
            continue
        names = [f"{url.scheme}_proxy", "all_proxy"]
        named = next((each for name in names for each in (name, name.upper()) if environ.get(each)), None)
        if named is not None and not proxy_bypass_environment(f"{url.host}:{url.port}", excepted):
            raise ConfigError(
                f"{named} (environment): it names a proxy for the upstream {upstream.name} ({url.host}), and upstreams "
                "are connected to directly; unset it for this daemon, put the host into NO_PROXY, or set "
                "UPSTREAM_IGNORE_PROXY=true to connect without it"
            )


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
