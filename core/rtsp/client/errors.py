"""What ends an attempt to play."""


class ServerError(Exception):
    """The server refuses, or is not understood; the text is for the operator and has nothing of the server's in it
    that is not printable."""


class LoginRefusedError(ServerError):
    """The user or the password is wrong: to ask again with the same may lock the user out."""


class RedirectError(ServerError):
    """RFC 2326 11.3: another address is to be asked."""

    def __init__(self, url: str) -> None:
        super().__init__(f"redirects to {url}")
        self.url = url


def printable(text: str, size: int = 80) -> str:
    """Words of the server for a log line: short, no controls."""
    shown = "".join(character if " " <= character <= "~" else "?" for character in text[:size])
    return shown + "..." * (len(text) > size)
