"""Who stands at the door: what a handshake says, and how much of it can be believed. Pure.

A proxy is believed only from ``ocpp.trusted_proxies``. A plain connection over this machine's loopback is on no wire
and judged as if over TLS, unless it shows that it was passed on from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from websockets.datastructures import Headers, MultipleValuesError

from bridge.ocpp.security import basic_key, basic_user
from bridge.ocpp.tls import Certificate, common_name

_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via")
_MAX_HOPS = 20


class Visitor(NamedTuple):
    """``address`` is the charger's own, as far as we know. ``is_secure``: over TLS, or on no wire at all."""

    station: str
    key: bytes | None
    address: str
    is_secure: bool
    is_local: bool = False
    certificate: Certificate | None = None
    user: str = ""  # the name that came with the key

    @property
    def is_by_its_name(self) -> bool:
        """Does the key come under the station's own id, in whatever case (field quirk 7)?"""
        return self.user.casefold() == self.station.casefold()


class Proxies:
    """Whom we believe. ``certificate_header`` is empty where none may speak of certificates."""

    def __init__(self, networks: Sequence[str], certificate_header: str) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(network) for network in networks]
        self._certificate_header = certificate_header

    def trusts(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)

    def visitor(
        self, station: str, headers: Headers, peer: str, is_tls: bool, certificate: Certificate | None
    ) -> Visitor:
        """``peer`` is the other end of our socket, ``certificate`` the one it showed and we verified."""
        authorization = _one(headers, "Authorization")
        key, user = basic_key(authorization), basic_user(authorization)
        was_passed_on = any(name in headers for name in _FORWARDED)
        if was_passed_on and self.trusts(peer):
            is_secure = is_tls or _last(headers, "X-Forwarded-Proto").lower() in ("https", "wss")
            if is_secure and self._certificate_header and certificate is None:
                name = common_name(_one(headers, self._certificate_header) or "")
                certificate = Certificate((name,), "") if name else None
            return Visitor(station, key, self._origin(headers, peer), is_secure, False, certificate, user)
        is_local = not is_tls and is_loopback(peer) and not was_passed_on
        return Visitor(station, key, peer, is_tls or is_local, is_local, certificate, user)

    def _origin(self, headers: Headers, peer: str) -> str:
        """The nearest hop that is none of ours: what stands left of it anybody may have written."""
        hops = [hop.strip() for value in headers.get_all("X-Forwarded-For") for hop in value.split(",")]
        for hop in reversed(hops[-_MAX_HOPS:]):
            address = plain_address(hop)
            if not address:
                break
            if not self.trusts(address):
                return address
        return peer


def plain_address(text: str) -> str:
    """An IP address without port and brackets, IPv4 where it is one; empty when it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found)


def side_of(address: str) -> str:
    """Whom limits of one address count: of IPv6 the network of 64 bits, in which one host has every address."""
    return str(ip_network((address, 64), strict=False)) if ":" in address else address


def is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _one(headers: Headers, name: str) -> str | None:
    """A header that must not come twice."""
    try:
        return headers.get(name)
    except MultipleValuesError:
        return None


def _last(headers: Headers, name: str) -> str:
    values = headers.get_all(name)
    return values[-1].rpartition(",")[2].strip() if values else ""
