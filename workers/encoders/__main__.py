"""`python -m camfleet.workers.encoders`: which encoders can be used on this machine, or why not."""

from . import BACKENDS, probe


def main() -> None:
    for backend in BACKENDS:
        print(f"{backend.name:<11} {backend.device:<25} {probe(backend) or 'usable'}")


if __name__ == "__main__":
    main()
