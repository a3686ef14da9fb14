"""Addresses that an operator's setting may name, and those it may not.

Belongs here: refusing link-local targets (cloud metadata lives there). Not here: making requests.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from learning_pipelines.errors import BadInput


def permitted_url(url: str, setting: str) -> str:
    """The URL itself. Raises BadInput naming the setting if it is no http(s) URL or leads to a link-local address, by name or by number."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadInput(f"{setting} is not an address.", "Correct or unset it.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(f"{setting} is not an http or https address.", "It looks like http://127.0.0.1:8080/v1: correct or unset it.")
    for address in _addresses(parts.hostname):
        if _link_local(address):
            raise BadInput(f"{setting} leads to the link-local address {address}.", "Name another host: only a cloud's metadata service lives there.")
    return url


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        return [ipaddress.ip_address(host.split("%")[0])]
    except ValueError:
        pass
    try:  # also 0xA9FEA9FE, 2852039166 and 169.254.43518, which the system's resolver reads as numbers
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []  # not resolvable now: whoever connects will say so
    return [ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found]


def _link_local(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_link_local
