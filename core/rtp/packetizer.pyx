"""Payload formats by name, and packetizing for those who are not core.ring."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memset
from camfleet.core.rtp.h264 cimport H264
from camfleet.core.rtp.h265 cimport H265
from camfleet.core.rtp.nal cimport Access as NALAccess, NALFormat, nal_measure, nal_write
from camfleet.core.rtp.stream cimport RTPStream
from camfleet.core.status cimport ERROR_SHORT

from typing import NamedTuple

CODECS = ("", "h264", "h265")     # in the order of the enum


cdef int codec_of(str name) except -1:
    if name not in CODECS:
        raise ValueError(f"unknown codec {name!r}, there are h264 and h265")
    return CODECS.index(name)


cdef const NALFormat *format_of(uint8_t codec) noexcept nogil:
    if codec == CODEC_H264:
        return &H264
    return &H265 if codec == CODEC_H265 else NULL


class Access(NamedTuple):
    size: int
    packets: int
    key_frame: bool
    parameter_sets: bool


cdef class Packetizer:
    cdef RTPStream stream
    cdef const NALFormat *form
    cdef str codec

    def __init__(self, codec="h264", *, ssrc=0, sequence=0, payload_type=96, channel=0):
        self.codec = codec
        self.form = format_of(codec_of(codec))
        if self.form == NULL:
            raise ValueError("no codec")
        memset(&self.stream, 0, sizeof(RTPStream))
        self.stream.ssrc = ssrc
        self.stream.sequence = sequence
        self.stream.payload_type = payload_type
        self.stream.channel = channel

    def measure(self, const uint8_t[::1] access_unit not None):
        cdef NALAccess access
        if not len(access_unit) or nal_measure(self.form, &access_unit[0], access_unit.shape[0], &access) < 0:
            raise ValueError(f"not an {self.codec} access unit in Annex B format")
        return Access(access.size, access.packets, access.key_frame, access.parameter_sets)

    def packetize(self, const uint8_t[::1] access_unit not None, uint32_t timestamp, capacity=None):
        cdef int64_t written
        cdef size_t room = self.measure(access_unit).size if capacity is None else capacity
        cdef bytes out = PyBytes_FromStringAndSize(NULL, room)
        cdef uint8_t *place = <uint8_t *>PyBytes_AS_STRING(out)
        if not len(access_unit):
            raise ValueError(f"not an {self.codec} access unit in Annex B format")
        written = nal_write(self.form, &self.stream, &access_unit[0], access_unit.shape[0], timestamp, place, room)
        if written == ERROR_SHORT:
            raise BufferError(f"{room} bytes are too few")
        if written < 0:
            raise ValueError(f"not an {self.codec} access unit in Annex B format")
        return out if <size_t>written == room else out[:written]

    @property
    def sequence(self):
        return self.stream.sequence

    @property
    def packets(self):
        return self.stream.packets

    @property
    def octets(self):
        return self.stream.octets
