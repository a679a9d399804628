"""The project's source files, and what each of them imports: what the rules are checked on."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "supervisor", "workers", "bench")
_CYTHON = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", re.MULTILINE)


def files(*folders: str, suffixes: tuple[str, ...] = (".py", ".pyx", ".pxd", ".pyi")) -> list[Path]:
    """Relative paths, sorted."""
    return sorted(
        path.relative_to(ROOT)
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and not any(part.startswith(".") or part == "build" for part in path.parts)
    )


def imports(path: Path) -> set[str]:
    """Absolute names of the imported modules; relative imports are resolved to camfleet.<folder>...."""
    text = (ROOT / path).read_text()
    if path.suffix in (".pyx", ".pxd"):
        return {first or second for first, second in _CYTHON.findall(text)}
    package = ["camfleet", *path.parent.parts]
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def importers(module: str, *folders: str) -> set[str]:
    """Files that import this module or something below it."""
    return {
        path.as_posix()
        for path in files(*folders)
        if any(name == module or name.startswith(module + ".") for name in imports(path))
    }
