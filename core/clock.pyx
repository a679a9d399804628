"""The conversions of clock.pxd for Python callers."""
