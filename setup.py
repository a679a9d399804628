"""Builds the Cython extensions of core/ and bench/ and maps the top-level folders into the camfleet namespace."""

import os
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Errors, ExprNodes, Nodes
from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
ROOMS = ("core", "supervisor", "workers", "bench")
DEBUG = os.environ.get("CAMFLEET_DEBUG") == "1"
BUILD = "build/debug" if DEBUG else "build/release"  # setuptools compiles by the age of files, not by its flags
INCLUDE = ROOT / BUILD / "cython-include"


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


def forget_old_files(modules: list[Extension]) -> None:
    """setuptools copies into build/lib and never deletes there: a module that is gone would stay in the package.

    Present extension modules stay: by their age setuptools decides what to compile.
    """
    wanted = {module.name.replace(".", "/") for module in modules}
    for library in (ROOT / BUILD).glob("lib*"):
        for path in library.rglob("*"):
            name = path.relative_to(library).as_posix()
            if path.is_file() and not (path.suffix == ".so" and name.partition(".")[0] in wanted):
                path.unlink()


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
                    include_dirs=[folder],
                    depends=[header.relative_to(ROOT).as_posix() for header in sorted((ROOT / folder).glob("*.h"))],
                    libraries=["ssl", "crypto"] if folder.startswith("bench") else ["crypto"],
                    extra_compile_args=["-O0", "-g"] if DEBUG else ["-O3"],
                    define_macros=[("CYTHON_USE_TYPE_SPECS", "1")],
                )
            )
    for extension in found:
        extension.extra_compile_args += ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
    return found


folders = packages()
modules = extensions(folders)
forget_old_files(modules)
fail_on_performance_hints()
setup(
    packages=list(folders),
    package_dir=folders,
    package_data={name: ["*.pyx", "*.pxd", "*.h", "*.pyi", "py.typed", "*.md"] for name in folders},
    ext_modules=cythonize(
        modules,
        include_path=[include_tree(folders)],
        build_dir=f"{BUILD}/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": False,
        },
    ),
    options={"build": {"build_base": BUILD}, "build_ext": {"parallel": os.cpu_count()}},
)
