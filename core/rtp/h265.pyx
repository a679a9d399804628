"""What nal.pyx must know of H.265; see h265.pxd."""

from libc.stdint cimport uint8_t, uint64_t


# RFC 7798 4.4.2: LayerId and TID of an AP are the lowest of its units, each by itself; F is set when it is set in one.
cdef void _cover(uint8_t *header, const uint8_t *unit) noexcept nogil:
    cdef uint8_t forbidden = (header[0] | unit[0]) & 0x80
    cdef int layer = min((header[0] & 1) << 5 | header[1] >> 3, (unit[0] & 1) << 5 | unit[1] >> 3)
    header[0] = forbidden | <uint8_t>(layer >> 5)
    header[1] = <uint8_t>((layer & 0x1F) << 3) | min(header[1] & 7, unit[1] & 7)


H265.header_size = 2
H265.type_mask = 0x7E
H265.type_shift = 1
H265.aggregation = HEVC_AP
H265.fragmentation = HEVC_FU
H265.sei = HEVC_PREFIX_SEI
H265.settings = b"\x2c\xa2\xde\x09\xb5\x17\x47\xdb\xbb\x55\xa4\xfe\x7f\xc2\xfc\x4e"     # of x265
# Delimiters and filler carry nothing that RTP does not say or want; RFC 7798 gives another meaning to some of the types
# that H.265 leaves unspecified (48-63). The end of a sequence (36, 37) is sent: a CRA picture behind it begins anew.
H265.unsent = <uint64_t>0xFFFF << 48 | <uint64_t>1 << HEVC_ACCESS_UNIT_DELIMITER | <uint64_t>1 << HEVC_FILLER
H265.unspecified = <uint64_t>0xFFFF << 48
H265.slices = 0xFFFFFFFF        # 0 to 31
H265.key_frame = (<uint64_t>1 << (HEVC_CRA + 1)) - (<uint64_t>1 << HEVC_BLA_W_LP)
H265.parameter_sets = <uint64_t>1 << HEVC_VPS | <uint64_t>1 << HEVC_SPS | <uint64_t>1 << HEVC_PPS
H265.cover = _cover
