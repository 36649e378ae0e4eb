"""Connections to public addresses only, to exactly the address that was checked."""

import contextlib
import socket
from functools import partial

import httpx2

from bot.errors import ProviderRejected

from .egress import is_public
from .interruption import in_slices


class PublicOnlyTransport(httpx2.HTTPTransport):
    """Connects to public addresses only.

    It must not keep connections alive: the pool identifies them by address, and two names may share one.
    """

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Resolve the host, check every address, and connect to one of them by address.

        Raises:
            ProviderRejected: The host has an address that is not public.
            httpx2.ConnectError: The host has no address, or none that answers.
        """
        # As it is sent; `URL.host` would turn an internationalised name back into Unicode.
        host = request.url.raw_host.decode("ascii")
        try:
            lookup = partial(socket.getaddrinfo, host, request.url.port or 443, type=socket.SOCK_STREAM)
            found = in_slices(lookup)
        except (OSError, UnicodeError):
            raise httpx2.ConnectError("The host has no address.", request=request) from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not all(is_public(address) for address in addresses):
            raise ProviderRejected("The base URL must lead to a public address.")
        # The name stays in the Host header, and in the handshake, where the certificate is checked against it.
        request.extensions = {**request.extensions, "sni_hostname": host}
        for address in addresses[:-1]:
            with contextlib.suppress(httpx2.ConnectError):
                return self._send_to(address, request)
        return self._send_to(addresses[-1], request)

    def _send_to(self, address: str, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(host=address)
        return super().handle_request(request)
