"""A system call that the kernel refuses to one thread, as a container's sandbox may refuse it to all (seccomp(2))."""

import ctypes
import errno
import os
import platform

FALLOCATE = {"x86_64": 285, "aarch64": 47}[platform.machine()]

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_SECCOMP_MODE_FILTER = 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_REFUSE, _ALLOW = 0x00050000 | errno.EPERM, 0x7FFF0000


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def refuse(call: int) -> None:
    """From now on, to the calling thread, with EPERM."""
    steps = ((_LOAD, 0, 0, 0), (_JUMP_IF_EQUAL, 0, 1, call), (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW))
    program = _Program(len(steps), (_Instruction * len(steps))(*(_Instruction(*step) for step in steps)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, None), (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program))):
        option, value, pointer = arguments
        if libc.prctl(option, ctypes.c_ulong(value), pointer, None, None):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
