"""Builds the Cython extensions of core/ and bench/ and maps the top-level folders into the camfleet namespace."""

import os
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Errors, ExprNodes, Nodes
from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
INCLUDE = ROOT / "build" / "cython-include"
ROOMS = ("core", "supervisor", "workers", "bench")
DEBUG = os.environ.get("CAMFLEET_DEBUG") == "1"


def packages() -> dict[str, str]:
    """Import name to folder: every folder of a room that has an __init__.py."""
    found = {}
    for room in ROOMS:
        for init in sorted((ROOT / room).rglob("__init__.py")):
            folder = init.parent.relative_to(ROOT)
            found["camfleet." + ".".join(folder.parts)] = folder.as_posix()
    return found


def include_tree(folders: dict[str, str]) -> str:
    """Mirror the .pxd files under their import names, the only place where Cython finds `cimport camfleet.core.x`."""
    wanted = {INCLUDE / "camfleet" / "__init__.pxd": b""}
    for folder in folders.values():
        mirror = INCLUDE / "camfleet" / folder
        wanted[mirror / "__init__.pxd"] = b""
        for pxd in (ROOT / folder).glob("*.pxd"):
            wanted[mirror / pxd.name] = pxd.read_bytes()
    for stale in set(INCLUDE.rglob("*.pxd")) - wanted.keys():
        stale.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != text:  # the modification time drives rebuilds
            path.write_bytes(text)
    return os.path.relpath(INCLUDE, ROOT)


def fail_on_performance_hints() -> None:
    """A hint in the hot path means a hidden GIL acquisition: make it a compile error."""

    def hint(position, message, _env):
        Errors.error(position, "performance hint: " + message)

    for module in (Errors, Nodes, ExprNodes):
        module.performance_hint = hint


def extensions(folders: dict[str, str]) -> list[Extension]:
    found = []
    for name, folder in folders.items():
        for pyx in sorted((ROOT / folder).glob("*.pyx")):
            found.append(
                Extension(
                    f"{name}.{pyx.stem}",
                    [pyx.relative_to(ROOT).as_posix()],
                    libraries=["ssl", "crypto"] if folder.startswith("bench") else ["crypto"],
                    extra_compile_args=["-O0", "-g"] if DEBUG else ["-O3"],
                    define_macros=[("CYTHON_USE_TYPE_SPECS", "1")],
                )
            )
    for extension in found:
        extension.extra_compile_args += ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
    return found


folders = packages()
fail_on_performance_hints()
setup(
    packages=list(folders),
    package_dir=folders,
    package_data={name: ["*.pyx", "*.pxd", "*.pyi", "py.typed", "*.md"] for name in folders},
    ext_modules=cythonize(
        extensions(folders),
        include_path=[include_tree(folders)],
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": False,
        },
    ),
)
