# RTCP (RFC 3550 6): compound SR + SDES(CNAME) and BYE out, receiver reports and feedback in. All sizes of what goes out
# include the 4-byte $ header, so that the result can stand in front of RTP packets in a frame block.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    RTCP_SR = 200
    RTCP_RR = 201
    RTCP_SDES = 202
    RTCP_BYE = 203
    RTCP_APP = 204
    RTCP_PSFB = 206           # RFC 4585 6.3, payload-specific feedback
    MAX_CNAME_SIZE = 64
    # $ + RR without blocks + SDES (header, SSRC, item of 64 octets, terminator, padding) + BYE
    RTCP_BYE_SIZE_MAX = 4 + 8 + (4 + 4 + 2 + 64 + 2) + 8

cdef struct SenderReportSource:
    uint32_t ssrc
    uint8_t channel           # of the $ header: the RTCP channel, 1 for the first track
    uint8_t cname_size
    uint8_t cname[64]

# Both writers return bytes written, ERROR_SHORT, or ERROR_INVALID for a CNAME over MAX_CNAME_SIZE.
cdef size_t sender_report_size(const SenderReportSource *source) noexcept nogil
cdef int64_t write_sender_report(const SenderReportSource *source, uint64_t ntp, uint32_t rtp_timestamp, uint32_t packets,
                                 uint32_t octets, uint8_t *out, size_t capacity) noexcept nogil
cdef int64_t write_bye(const SenderReportSource *source, uint8_t *out, size_t capacity) noexcept nogil

# What a receiver says of one sender (RFC 3550 6.4.2), and whether it wants a key frame of him (PLI, RFC 4585 6.3.1).
cdef struct ReceiverReport:
    uint32_t ssrc             # ours
    uint32_t sender
    uint8_t fraction_lost     # since the last report, of 256
    int32_t cumulative_lost   # 24 bits
    uint32_t highest_sequence # extended
    uint32_t jitter
    uint32_t last_report      # the middle of the sender's last NTP time, 0: none has come
    uint32_t since_last       # in 1/65536 s
    bint key_frame_wanted

# RR + SDES, perhaps + PLI, without $ header. Returns as the writers above.
cdef int64_t write_receiver_report(const ReceiverReport *report, const uint8_t *cname, uint8_t cname_size, uint8_t *out,
                                   size_t capacity) noexcept nogil

# What one incoming compound packet says about us, and about its sender.
cdef struct RTCPReport:
    bint sender_report        # the next three are from it
    uint32_t sender
    uint64_t ntp
    uint32_t rtp_timestamp
    bint receiver_report      # a report block about `ssrc` was found
    uint8_t fraction_lost
    int32_t cumulative_lost   # 24 bits, signed: duplicates make it negative (RFC 3550 6.4.1)
    uint32_t jitter
    bint key_frame_wanted     # PLI (RFC 4585 6.3.1) or FIR (RFC 5104 4.3.1) about `ssrc`
    bint bye                  # of somebody else than `ssrc`
    uint32_t bye_ssrc         # the last of them
# `data`: one datagram, or the content of one $ frame without its header. Returns the number of RTCP packets in it, or
# ERROR_INVALID for a malformed compound: the caller counts it and ignores the report.
cdef int parse_rtcp(const uint8_t *data, size_t size, uint32_t ssrc, RTCPReport *report) noexcept nogil
