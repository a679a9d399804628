"""Who counts as one peer."""

import ipaddress


def network(address: str) -> str:
    """An IPv4 address itself; of IPv6 the /64, as every customer has a whole one."""
    return str(ipaddress.IPv6Network((address, 64), strict=False)) if ":" in address else address
