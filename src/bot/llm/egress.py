"""Which base URLs users may set.

With a user's base URL, this deployment sends requests to an address that a stranger chose. Without a check, they reach
whatever the host can reach: the metadata service with the host's own AWS credentials (169.254.169.254), the database
in the next subnet. So such a URL must be `https` and lead to a public address, and the connection goes to exactly the
address that was checked (`bot.llm.public_only`), so a name that resolves differently a moment later gains nothing.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence

# IPv6 forms of IPv4 addresses, which a gateway on the way translates back (RFC 6052, 3056, 4380).
_TRANSLATED = tuple(ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
# Not public, although Python says so: IPv4-compatible and site-local addresses (RFC 4291, 2.5.5.1; RFC 3879).
_WITHDRAWN = tuple(ipaddress.ip_network(net) for net in ("::/96", "fec0::/10"))
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


def base_url_problem(base_url: str, *, private_allowed: bool = False, hosts: Sequence[str] = ()) -> str | None:
    """Return what is wrong with a base URL, as a sentence, or None. Resolves no names.

    Args:
        base_url: The root of an OpenAI-compatible API.
        private_allowed: Whether plain http and addresses inside the deployment's network are allowed.
        hosts: The only hosts that are allowed; `*.example.com` stands for its subdomains. Empty: any host.
    """
    # Parsed by the library that will connect: a second parser might read another host from the same URL. Imported here,
    # because few requests contain a base URL.
    import httpx2

    try:
        url = httpx2.URL(base_url)
    except (httpx2.InvalidURL, ValueError):
        return "The base URL is not a valid URL."
    host = url.raw_host.decode("ascii", "replace")
    sound = _HOST.fullmatch(host) and 0 < (url.port or 443) < 65536
    if url.scheme not in ("http", "https") or not sound:
        return "The base URL must begin with https:// and name a host."
    if url.userinfo:
        return "The base URL must not contain a user or a password."
    if url.query or url.fragment:
        return "The base URL must not contain a query or a fragment."
    if hosts and not any(_matches(host, pattern) for pattern in hosts):
        return "The base URL must name one of the hosts that this deployment allows."
    if private_allowed:
        return None
    if url.scheme != "https":
        return "The base URL must begin with https://."
    if _literal(host) not in (None, True):
        return "The base URL must lead to a public address."
    return None


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return is_public(str(parsed.ipv4_mapped))
        if any(parsed in network for network in _TRANSLATED + _WITHDRAWN):
            return False
    return parsed.is_global and not parsed.is_multicast


def _matches(host: str, pattern: str) -> bool:
    host = host.lower().rstrip(".")
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _literal(host: str) -> bool | None:
    """Return whether a host that is written as an address is public, or None if it is a name."""
    host = host.rstrip(".").lower()
    try:
        return is_public(host)
    except ValueError:
        pass
    try:
        # The system's resolver accepts more forms of IPv4 addresses than Python: 2130706433, 0x7f.1, 0177.0.0.1.
        return is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except OSError:
        return False if host == "localhost" or host.endswith(".localhost") else None
