"""Which protocols this build of PyAV has.

usage: python -m camfleet.workers.sources.netlive.protocols PROTOCOL ...     prints those that it lacks, as JSON
"""

import json
import sys

import av
import av.error

from ...encoders.errors import PYAV_ERRORS


def is_built_in(protocol: str) -> bool:
    """Opens nothing: no protocol is allowed, and FFmpeg looks for one before it looks whether it may be used."""
    try:
        av.open(f"{protocol}:", options={"protocol_whitelist": "none"}).close()
    except av.error.ProtocolNotFoundError:
        return False
    except PYAV_ERRORS:
        pass
    return True


if __name__ == "__main__":
    print(json.dumps([protocol for protocol in sys.argv[1:] if not is_built_in(protocol)]))
