"""What every command of the command line has: one sentence, in the list of commands and above its own options."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[argparse.ArgumentParser]


def command(
    commands: "Subcommands", name: str, purpose: str, parents: tuple[argparse.ArgumentParser, ...] = ()
) -> argparse.ArgumentParser:
    sentence = f"{purpose[0].upper()}{purpose[1:]}."
    return commands.add_parser(name, help=purpose, description=sentence, parents=list(parents))


def where(config: str) -> argparse.ArgumentParser:
    """The options that name configuration and state folder; `config`: what is said of the first."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--config", type=Path, metavar="FILE", help=config)
    options.add_argument("--state-dir", type=Path, metavar="DIR", help="folder of certificates, keys, sockets, users")
    return options
