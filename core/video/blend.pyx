"""Text into the samples of a picture."""

from libc.stdint cimport uint8_t, uint16_t


cdef void blend_line(uint8_t *samples, const uint16_t *keep, const uint16_t *add, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(width):
        samples[x] = <uint8_t>(<uint16_t>(samples[x] * keep[x] + add[x]) >> 8)


def blend(uint8_t[:, :] samples not None, const uint16_t[:, ::1] keep not None, const uint16_t[:, ::1] add not None):
    cdef Py_ssize_t line, height = samples.shape[0], width = samples.shape[1]
    if samples.strides[1] != 1:
        raise ValueError("the samples of a line do not lie side by side")
    if (keep.shape[0], keep.shape[1]) != (height, width) or (add.shape[0], add.shape[1]) != (height, width):
        raise ValueError(
            f"{keep.shape[1]}x{keep.shape[0]} and {add.shape[1]}x{add.shape[0]} levels for {width}x{height} samples"
        )
    with nogil:
        for line in range(height if width else 0):
            blend_line(&samples[line, 0], &keep[line, 0], &add[line, 0], width)
