"""What nal.pyx must know of H.264; see h264.pxd."""

from libc.stdint cimport uint8_t, uint64_t


# RFC 6184 5.7: NRI of a STAP-A is the highest of its units, F is set when it is set in one of them.
cdef void _cover(uint8_t *header, const uint8_t *unit) noexcept nogil:
    header[0] = ((header[0] | unit[0]) & 0x80) | max(header[0] & 0x60, unit[0] & 0x60)


H264.header_size = 1
H264.type_mask = 0x1F
H264.type_shift = 0
H264.aggregation = NAL_STAP_A
H264.fragmentation = NAL_FU_A
H264.sei = NAL_SEI
H264.settings = b"\xdc\x45\xe9\xbd\xe6\xd9\x48\xb7\x96\x2c\xd8\x20\xd9\x23\xee\xef"     # x264
# Delimiters and filler carry nothing that RTP does not say or want; the types that H.264 leaves unspecified (0, 24-31)
# have another meaning in RFC 6184 5.2.
H264.unsent = (
    <uint64_t>0xFF << 24 | 1
    | 1 << NAL_ACCESS_UNIT_DELIMITER | 1 << NAL_END_OF_SEQUENCE | 1 << NAL_END_OF_STREAM | 1 << NAL_FILLER
)
H264.unspecified = <uint64_t>0xFF << 24 | 1
H264.slices = 0x3E              # 1 to 5
H264.key_frame = 1 << NAL_IDR
H264.parameter_sets = 1 << NAL_SPS | 1 << NAL_PPS
H264.cover = _cover
