"""Whether a certificate and key can be served. Everything untrusted is parsed here, in a child process with limits."""

from .report import MAX_MATERIAL_SIZE, Description, Finding, Material, Pair, Purpose, Report, Verdict
from .sandbox import examine, examine_async

__all__ = [
    "MAX_MATERIAL_SIZE",
    "Description",
    "Finding",
    "Material",
    "Pair",
    "Purpose",
    "Report",
    "Verdict",
    "examine",
    "examine_async",
]
