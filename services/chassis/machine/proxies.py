"""The operator's proxies, as `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy` name them."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from services.chassis.errors import FailedPrecondition
from services.chassis.settings import is_loopback

VARIABLES = tuple(name for low in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (low, low.upper()))


def proxy_for(scheme: str, host: str) -> str:
    """Return the address of the proxy by which a host is asked; empty for none, as for this machine.

    Raises:
        FailedPrecondition: A proxy is named that speaks no http.
    """
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all", "")
    if not proxy or is_loopback(host) or proxy_bypass(host, proxies):
        return ""
    address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if address.scheme != "http" or not address.hostname:
        raise FailedPrecondition(
            f"The proxy for {scheme} is none that is spoken to by http.",
            f"Set {scheme}_proxy to http://host:port, or name hosts that need none in no_proxy.",
        )
    return address.geturl()
