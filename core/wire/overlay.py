"""Text painted into the pictures of a stream."""

import msgspec


class OverlaySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line. In `text` strftime's codes are the wall clock, `{ms}` its milliseconds and `{camera}` the name."""

    text: str
    position: str = "top-left"
    size: float = 0.05  # height of the line by that of the picture
    colour: int = 0xFFFFFFFF  # 0xRRGGBBAA
    box: int = 0x00000080
    font: str = ""  # absolute; "": DejaVu Sans, or what Pillow brings
