"""What a client asks for beyond the URL: Require (RFC 2326 12.32) and Accept (12.1)."""

import re

from ..message import Headers

_TAG = re.compile(r"[!-~]{1,64}")  # what may be echoed


def required_tags(headers: Headers) -> list[str]:
    """The option tags of Require and Proxy-Require, all of them unsupported; one that cannot be echoed is "invalid"."""
    values = (headers.get_list("Require"), headers.get_list("Proxy-Require"))
    tags = [tag.strip() for value in values if value is not None for tag in value.split(",")]
    return [tag if _TAG.fullmatch(tag) else "invalid" for tag in tags if tag]


def accepts_sdp(headers: Headers) -> bool:
    """Parameters are ignored, case as well; no Accept accepts all."""
    value = headers.get_list("Accept")
    if value is None or not value.strip(" ,"):
        return True
    ranges = {media_range.partition(";")[0].strip().lower() for media_range in value.split(",")}
    return not ranges.isdisjoint({"application/sdp", "application/*", "*/*"})
