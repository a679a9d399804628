def gcm_library(*, libcrypto: bool | None = None) -> str:
    """Which library does AES-GCM in sessions made from now on: "libIPSec_MB" or "libcrypto".

    `libcrypto`, for tests and comparisons: True to take that one in any case, False to choose the faster again.
    """
