"""Restrict downloads to public addresses over https, also after redirects.

A redirect or a host name under an attacker's control must not make this machine send requests to
its own services or its network. The address is checked after the name is resolved, and the
connection goes to that address, so that a second DNS response changes nothing.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any

from triform.base.errors import UserError

_MAX_REDIRECTS = 5
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet.

    Loopback, link-local, private, shared (carrier NAT), multicast, reserved and unspecified
    addresses are not; nor are IPv6 forms that carry such an IPv4 address (mapped, 6to4, Teredo,
    NAT64).
    """
    ip = ipaddress.ip_address(address)
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None or ip in _NAT64:
            # Python calls the IPv6 form reserved; the IPv4 address in it counts.
            addresses = [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
        addresses += [ip.sixtofour] if ip.sixtofour is not None else []
        addresses += ip.teredo or ()
    return all(
        each.is_global and not (each.is_multicast or each.is_reserved or each.is_unspecified)
        for each in addresses
    )


@dataclass(frozen=True)
class Policy:
    """Schemes and addresses that downloads may use.

    Attributes:
        schemes: allowed for URLs and for every redirect.
        is_allowed: whether an IP address may be connected to.
    """

    schemes: tuple[str, ...] = ("https",)
    is_allowed: Callable[[str], bool] = is_public

    def check_url(self, url: str) -> None:
        """Refuse a URL of another scheme or without a host.

        Raises:
            UserError: names the address and what is allowed.
        """
        try:
            parts = urllib.parse.urlsplit(url)
            good = parts.scheme.lower() in self.schemes and bool(parts.hostname)
        except ValueError:
            good = False
        if not good:
            allowed = " and ".join(f"{scheme}://" for scheme in self.schemes)
            raise UserError(f"{url[:200]}: only {allowed} addresses can be downloaded")

    def resolve(self, host: str, port: int) -> list[tuple[Any, ...]]:
        """Addresses of a host, all of them allowed, as `getaddrinfo` gives them.

        Raises:
            UserError: one of them is not allowed.
            OSError: the name is not known.
        """
        addresses: list[tuple[Any, ...]] = list(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        for *_, endpoint in addresses:
            if not self.is_allowed(str(endpoint[0])):
                raise UserError(
                    f"{host}: leads to {endpoint[0]}, an address of this machine or of a private "
                    "network, from which nothing is downloaded; download the file yourself"
                )
        return addresses


PUBLIC = Policy()


def opener(policy: Policy) -> urllib.request.OpenerDirector:
    """Build a URL opener for a policy: no file, ftp or data URLs, few redirects."""
    director = urllib.request.OpenerDirector()
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.ProxyHandler(),
        _Redirects(policy),
        _Https(policy),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ]
    if "http" in policy.schemes:
        handlers.append(_Http(policy))
    for handler in handlers:
        director.add_handler(handler)
    return director


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, each to an allowed scheme."""

    max_redirections = _MAX_REDIRECTS

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message
    ) -> Any:
        """Follow one redirect."""
        target = headers.get("location") or headers.get("uri")
        if target:
            self._policy.check_url(urllib.parse.urljoin(req.full_url, target))
        return super().http_error_302(req, fp, code, msg, headers)  # type: ignore[arg-type]

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Https(urllib.request.HTTPSHandler):
    """Https with certificates checked, to allowed addresses."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(context=ssl.create_default_context())
        self._policy = policy

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open one URL."""

        def connect(host: str, **settings: Any) -> http.client.HTTPSConnection:
            connection = http.client.HTTPSConnection(host, **settings)
            _restrict_connection(connection, self._policy)
            return connection

        return self.do_open(connect, req, context=self._context)  # type: ignore


class _Http(urllib.request.HTTPHandler):
    """Plain http, for policies that allow it."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self._policy = policy

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open one URL."""

        def connect(host: str, **settings: Any) -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection(host, **settings)
            _restrict_connection(connection, self._policy)
            return connection

        return self.do_open(connect, req)


def _restrict_connection(connection: Any, policy: Policy) -> None:
    """Make a connection use checked addresses only."""

    def create(
        address: tuple[str, int], timeout: Any = None, source_address: Any = None
    ) -> socket.socket:
        if connection._tunnel_host:
            # The user's own proxy may be private and resolves the name itself. Where this machine
            # can resolve the name too, its address is checked against the policy as well.
            with contextlib.suppress(OSError):
                policy.resolve(connection._tunnel_host, connection._tunnel_port)
            return socket.create_connection(address, timeout, source_address)
        return _connect(policy.resolve(*address), timeout)

    connection._create_connection = create


def _connect(addresses: list[tuple[Any, ...]], timeout: Any) -> socket.socket:
    """Connect to the first address that accepts."""
    last_error: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in addresses:
        connection = socket.socket(family, kind, protocol)
        try:
            if isinstance(timeout, int | float):
                connection.settimeout(timeout)
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            last_error = error
    raise last_error
