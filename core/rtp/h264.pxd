# RFC 6184, packetization-mode 1: single NAL unit, STAP-A, FU-A.
#
# +---------------+
# |F|NRI|  Type   |   1.3; of the FU header (5.8): S|E|R|Type
# +---------------+

from camfleet.core.rtp.nal cimport NALFormat

cdef enum:
    NAL_IDR = 5
    NAL_SEI = 6
    NAL_SPS = 7
    NAL_PPS = 8
    NAL_ACCESS_UNIT_DELIMITER = 9
    NAL_END_OF_SEQUENCE = 10
    NAL_END_OF_STREAM = 11
    NAL_FILLER = 12
    NAL_STAP_A = 24
    NAL_FU_A = 28

cdef NALFormat H264
