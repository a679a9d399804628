"""What a client pushes with ANNOUNCE and RECORD.

the client's session (main thread)     PublishingPoint, one for each stream     the stream's upstream (own thread)
  take, leave                     -->  the Publication that is on           --> PublishSession waits for one,
  fan-out thread: media           -->  its Inlet                            --> and makes access units of it
"""

from .point import Publication, PublishingPoint, publishing_point
from .session import PublishSession

__all__ = ["Publication", "PublishSession", "PublishingPoint", "publishing_point"]
