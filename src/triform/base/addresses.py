"""Which machines a download may connect to: public ones, over https, checked at every step.

A redirect or a name under a stranger's control must not make this machine ask its own services
or its neighbours': the address is looked at after the name is resolved, and it is that very address
which is connected to, so that a second answer of the name server changes nothing.
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

_MOST_REDIRECTS = 5
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, whatever it is wrapped in.

    Loopback, link-local, private, shared (carrier NAT), multicast, reserved and unspecified
    addresses are not; nor are IPv6 forms that carry such an IPv4 address (mapped, 6to4, Teredo,
    NAT64).
    """
    ip = ipaddress.ip_address(address)
    carried: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None or ip in _NAT64:
            # Python calls the wrapping itself reserved; what is in it counts.
            carried = [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
        carried += [ip.sixtofour] if ip.sixtofour is not None else []
        carried += ip.teredo or ()
    return all(
        each.is_global and not (each.is_multicast or each.is_reserved or each.is_unspecified)
        for each in carried
    )


@dataclass(frozen=True)
class Policy:
    """What may be connected to.

    Attributes:
        schemes: of addresses and of every redirect.
        is_allowed: says of an IP address whether it may be connected to.
    """

    schemes: tuple[str, ...] = ("https",)
    is_allowed: Callable[[str], bool] = is_public

    def check_url(self, url: str) -> None:
        """Refuse an address of another scheme or without a host.

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
        found: list[tuple[Any, ...]] = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        for *_, where in found:
            if not self.is_allowed(str(where[0])):
                raise UserError(
                    f"{host}: leads to {where[0]}, an address of this machine or of a private "
                    "network, from which nothing is downloaded; download the file yourself"
                )
        return found


PUBLIC = Policy()


def opener(policy: Policy) -> urllib.request.OpenerDirector:
    """What opens addresses under a policy: no file, ftp or data addresses, few redirects."""
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

    max_redirections = _MOST_REDIRECTS

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
        """Open one address."""

        def connect(host: str, **settings: Any) -> http.client.HTTPSConnection:
            connection = http.client.HTTPSConnection(host, **settings)
            _watch(connection, self._policy)
            return connection

        return self.do_open(connect, req, context=self._context)  # type: ignore


class _Http(urllib.request.HTTPHandler):
    """Plain http, for policies that allow it."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self._policy = policy

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open one address."""

        def connect(host: str, **settings: Any) -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection(host, **settings)
            _watch(connection, self._policy)
            return connection

        return self.do_open(connect, req)


def _watch(connection: Any, policy: Policy) -> None:
    """Make a connection go to checked addresses alone."""

    def create(
        where: tuple[str, int], timeout: Any = None, source_address: Any = None
    ) -> socket.socket:
        if connection._tunnel_host:
            # The user's own proxy, which may well be private, resolves the name itself. Where this
            # machine can resolve it too, the answer is held against the policy all the same.
            with contextlib.suppress(OSError):
                policy.resolve(connection._tunnel_host, connection._tunnel_port)
            return socket.create_connection(where, timeout, source_address)
        return _connect(policy.resolve(*where), timeout)

    connection._create_connection = create


def _connect(addresses: list[tuple[Any, ...]], timeout: Any) -> socket.socket:
    """A connection to the first of some addresses that answers."""
    failed: OSError = OSError("the name has no address")
    for family, kind, protocol, _, where in addresses:
        endpoint = socket.socket(family, kind, protocol)
        try:
            if isinstance(timeout, int | float):
                endpoint.settimeout(timeout)
            endpoint.connect(where)
            return endpoint
        except OSError as error:
            endpoint.close()
            failed = error
    raise failed
