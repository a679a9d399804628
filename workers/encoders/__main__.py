"""`python -m camfleet.workers.encoders`: which encoders can be used on this machine, or why not.

usage: [--json] [--run-dir DIR] [CODEC/ENCODER ...]     without names: all there are; workers look into the folder
"""

import argparse
import json
import sys
from pathlib import Path

from .backends import BACKENDS
from .probing import HARDWARE, cache_in, machine, probe_all, store


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("names", nargs="*", metavar="CODEC/ENCODER")
    options = parser.parse_args(arguments)
    if strangers := set(options.names) - {backend.key for backend in BACKENDS}:
        parser.error(f"there is no {', '.join(sorted(strangers))}")
    now = machine()
    chosen = [backend for backend in BACKENDS if not options.names or backend.key in options.names]
    answers = probe_all(chosen)
    hardware = {backend.key: answers[backend.key] for backend in HARDWARE if backend.key in answers}
    if options.run_dir is not None and len(hardware) == len(HARDWARE):
        store(cache_in(options.run_dir), now, hardware)
    if options.json:
        print(json.dumps(answers))
    else:
        for backend in chosen:
            row = f"{backend.codec.name}  {backend.name:<6} {backend.ffmpeg:<11} {backend.device:<25}"
            print(row, answers[backend.key] or "usable")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
