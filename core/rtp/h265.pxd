# RFC 7798 without DON (sprop-max-don-diff = 0, the default): single NAL unit, AP, FU.
#
# +---------------+---------------+
# |F|   Type    |  LayerId  | TID |   1.1.4; of the FU header (4.4.3): S|E|FuType
# +---------------+---------------+

from camfleet.core.rtp.nal cimport NALFormat

# ITU-T H.265 Table 7-1, and RFC 7798 4.4.
cdef enum:
    HEVC_BLA_W_LP = 16        # the first type of a picture that decoding can start with (IRAP): BLA, IDR, CRA
    HEVC_CRA = 21             # ... and the last; 22 and 23 are reserved
    HEVC_VPS = 32
    HEVC_SPS = 33
    HEVC_PPS = 34
    HEVC_ACCESS_UNIT_DELIMITER = 35
    HEVC_FILLER = 38
    HEVC_PREFIX_SEI = 39
    HEVC_AP = 48
    HEVC_FU = 49

cdef NALFormat H265
