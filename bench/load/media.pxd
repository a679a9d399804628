# What one reader sees of one track: RTP numbering, frames, key frames, delay. Sans-I/O; packets and times come in.
#
# A frame is what lies between two markers and has one timestamp. It is complete when no sequence number inside it is
# missing, its marker came, and its fragmented NAL units (RFC 6184 5.8, RFC 7798 4.4.3) begin and end. What is missing between two
# frames are whole frames, as our server skips only those; a first packet that begins in the middle of a NAL unit
# shows that more is missing.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from camfleet.core.rtp.nal cimport NALFormat

cdef enum:
    MAX_TRACKS = 4
    DELAY_BUCKETS = 464       # up to 2^32 us: 32 of one microsecond, then 16 in each power of two

cdef struct Delays:
    uint64_t buckets[464]

cdef struct Track:
    uint8_t rtp_channel
    uint8_t rtcp_channel
    const NALFormat *form     # NULL: only the numbering is looked at
    uint32_t clock_rate
    # numbering
    bint started
    uint16_t first_sequence
    uint16_t next_sequence
    uint64_t packets
    uint64_t malformed             # neither RTP nor RTCP
    uint64_t sequence_gaps         # places where the numbers jump, and ...
    uint64_t packets_missing       # ... how many numbers were jumped over; 0 for a jump backwards
    # the frame being received
    bint in_frame
    bint damaged
    bint key
    bint fragmented                # inside a fragmented NAL unit
    bint gap_before                # numbers are missing since the end of the frame before
    uint32_t timestamp
    # frames received
    uint64_t frames                # complete ones
    uint64_t frames_incomplete
    uint64_t key_frames
    uint64_t frame_gaps            # places where the timestamp jumps by more than 1.5 frames, and ...
    uint64_t frames_missing        # ... how many frames would have fitted
    bint timed                     # a frame has been received, `last_timestamp` is its
    bint reordered                 # timestamps go back (B frames): steps say nothing
    uint32_t last_timestamp
    uint32_t interval              # usual step of the timestamp
    int64_t first_key_ns           # arrival of the first complete key frame, 0 = none yet
    int64_t last_frame_ns          # arrival of the last complete frame
    int64_t longest_ns             # longest time without a complete frame
    # the last sender report
    bint reported
    int64_t report_unix_ns
    uint32_t report_timestamp

# One RTP packet, arrived at `now_ns` (monotonic), which is `unix_ns`: minus the capture time this is the frame's delay.
cdef void track_rtp(Track *track, const uint8_t *packet, size_t size, int64_t now_ns, int64_t unix_ns,
                    Delays *delays) noexcept nogil
cdef void track_rtcp(Track *track, const uint8_t *packet, size_t size) noexcept nogil
