"""Who counts as one peer."""

import ipaddress


def network(address: str) -> str:
    """An IPv4 address itself; of IPv6 the /64, as every customer has a whole one."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return address
