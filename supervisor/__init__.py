"""camfleet.supervisor: listeners, keys, configuration, users and worker life cycle; never a media byte."""


class StartError(Exception):
    """Why the supervisor cannot start, in the operator's words; the command line prints it and exits with 1."""
