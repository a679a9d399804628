class TLSClient:
    """libssl's settings for all readers. With `cafile` certificates and names are verified, else not.

    Raises ValueError when the file holds no certificates.
    """

    def __init__(self, cafile: str | None = None) -> None: ...
