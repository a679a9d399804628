"""Screens to YUV 4:2:0; the arithmetic is in bgrx.h."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

cdef extern from "bgrx.h" nogil:
    ctypedef struct BGRXLines:
        const uint8_t *pixels[2]
        uint8_t *luma[2]
        uint8_t *cb
        uint8_t *cr

    void bgrx_lines(const BGRXLines *lines, int x, int width) noexcept
    int bgrx_lines_avx2(const BGRXLines *lines, int width) noexcept
    bint bgrx_has_avx2() noexcept

cdef enum:
    MAX_SIDE = 32768  # of X11's windows; all products below fit in a size_t

cdef bint avx2 = bgrx_has_avx2()


def vectors(*, plain=None):
    global avx2
    if plain is not None:
        avx2 = bgrx_has_avx2() and not plain
    return "AVX2" if avx2 else "none"


cdef void convert(const uint8_t *pixels, size_t stride, int width, int height, uint8_t *samples) noexcept nogil:
    cdef BGRXLines lines
    cdef int line, done
    lines.cb = samples + <size_t>width * height
    lines.cr = lines.cb + <size_t>width * height // 4
    for line in range(0, height, 2):
        lines.pixels[0] = pixels + line * stride
        lines.pixels[1] = lines.pixels[0] + stride
        lines.luma[0] = samples + <size_t>line * width
        lines.luma[1] = lines.luma[0] + width
        done = bgrx_lines_avx2(&lines, width) if avx2 else 0
        bgrx_lines(&lines, done, width)
        lines.cb += width // 2
        lines.cr += width // 2


def i420_from_bgrx(const uint8_t[::1] pixels not None, size_t stride, uint8_t[:, ::1] samples not None):
    cdef size_t width = samples.shape[1], rows = samples.shape[0]
    cdef size_t height = rows * 2 // 3
    if width % 2 or height % 2 or rows != height * 3 // 2 or not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE:
        raise ValueError(f"{rows} rows of {width} samples are no picture in YUV 4:2:0")
    if stride < 4 * width or stride > 8 * MAX_SIDE or <size_t>pixels.shape[0] < (height - 1) * stride + 4 * width:
        raise ValueError(f"{pixels.shape[0]} bytes, {stride} a line, are fewer than {width}x{height} pixels")
    with nogil:
        convert(&pixels[0], stride, <int>width, <int>height, &samples[0, 0])
