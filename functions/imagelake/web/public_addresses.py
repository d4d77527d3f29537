"""Public IP addresses: the only ones that we connect to when a URL came from somebody else."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# `ipaddress.is_global` is not enough: it accepts addresses that embed private ones, and it changes between Python
# releases. We refuse the networks in IANA's registries of special purposes, and clouds' services at addresses that look
# public: https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry.
_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; holds Alibaba's metadata service at 100.100.100.200
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform service
        "169.254.0.0/16",  # link-local; holds the metadata service of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; holds Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112 sink
        "192.52.193.0/24",  # multicast tunneling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112 sink
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

# Global unicast. Loopback, mapped, compatible, NAT64, local, multicast and 5f00::/16 lie outside of it.
_UNICAST_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; holds Teredo, which embeds IPv4
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 embeds IPv4
        "2620:4f:8000::/48",  # AS112 sink
        "3fff::/20",  # documentation
    )
)
# ISATAP (RFC 5214) embeds IPv4 under any prefix, after one of these interface identifiers.
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})


def is_public(address: str) -> bool:
    """Return whether ``address`` is a plain global unicast address; false for text that is no IP address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return _is_public_v4(parsed) if isinstance(parsed, IPv4Address) else _is_public_v6(parsed)


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in _REFUSED_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    return (
        address.scope_id is None
        and address in _UNICAST_V6
        and not any(address in network for network in _REFUSED_V6)
        and (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP
    )
