"""Whether a certificate and key can be served. Everything untrusted is parsed here, in a child process with limits."""

from .report import MAX_MATERIAL_SIZE, Description, Finding, Material, Pair, Purpose, Report, Verdict

__all__ = ["MAX_MATERIAL_SIZE", "Description", "Finding", "Material", "Pair", "Purpose", "Report", "Verdict"]
