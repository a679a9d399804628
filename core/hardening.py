"""What a process with keys and thousands of sockets asks of the kernel. A fork inherits it, an exec does not."""

import ctypes
import os
import resource

PR_SET_DUMPABLE = 4  # prctl(2)


def harden() -> None:
    """No core dump and no debugger may show a key; files are ours alone; as many descriptors as the system allows."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.umask(0o077)
