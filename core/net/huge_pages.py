"""Whether a memory file may get huge pages.

A hole that covers a part of a huge page is cleared where it lies, under a socket that still has to send it; a small
page is taken out of the file as it is (docs/decisions/0017).
"""

from pathlib import Path

SETTING = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
HARMLESS = ("[never]", "[advise]", "[deny]")  # `advise`: for mappings with madvise, of which we have none


def possible() -> bool:
    try:
        setting = SETTING.read_text()
    except FileNotFoundError:  # a kernel without them
        return False
    except OSError:
        return True
    return not any(word in setting for word in HARMLESS)
