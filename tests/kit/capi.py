"""Call the nogil functions of a Cython module from a test: its __pyx_capi__ holds each `cdef` function of its .pxd."""

import ctypes
import importlib
from collections.abc import Callable
from typing import Any

_name = ctypes.pythonapi.PyCapsule_GetName
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def c_function(module: str, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """`name` of the module with the given ctypes; a bytearray is passed as `buffer(it)`."""
    capsule = vars(importlib.import_module(module))["__pyx_capi__"][name]
    return ctypes.CFUNCTYPE(result, *arguments)(_pointer(capsule, _name(capsule)))


def buffer(data: bytearray) -> ctypes.Array[ctypes.c_char]:
    """The memory of `data`, for a pointer argument."""
    return (ctypes.c_char * len(data)).from_buffer(data)
