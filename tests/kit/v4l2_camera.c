/* A camera of Video4Linux for machines that have none: preloaded, it answers for FIFOs as a driver does for its device.
 *
 * What is written into the FIFO is what the camera sees, picture by picture: length (32 bits, in this machine's order)
 * and bytes, or one of the lengths below alone. It has MJPEG of 320x240 and 160x120, and YUYV of 160x120. A FIFO whose
 * name ends with "1" gives no pictures, as the second node of a USB camera. Only one may be open for pictures, in all processes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define UNPLUGGED 0xffffffffu
#define DAMAGED 0xfffffffeu
#define BUFFERS 4
#define BUFFER_SIZE (320 * 240 * 2)

static const struct { uint32_t format, width, height; } modes[] = {
    {V4L2_PIX_FMT_YUYV, 160, 120}, {V4L2_PIX_FMT_MJPEG, 160, 120}, {V4L2_PIX_FMT_MJPEG, 320, 240}};
static const uint32_t formats[] = {V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_MJPEG};
#define COUNT(of) (sizeof(of) / sizeof(*of))

static uint8_t *memory[BUFFERS];
static int queued[BUFFERS];
static int owner = -1; /* who has set a format, and will stream */
static int unplugged;
static volatile int streaming;
static uint32_t mode = 0, fps = 30;

static int fail(int error)
{
    errno = error;
    return -1;
}

static int is_fifo(int fd)
{
    struct stat status;
    return !fstat(fd, &status) && S_ISFIFO(status.st_mode);
}

static void read_all(int fd, void *to, size_t size)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    for (ssize_t got; size; to = (uint8_t *)to + got, size -= got) {
        poll(&ready, 1, -1);
        if ((got = read(fd, to, size)) < 0)
            got = 0;
    }
}

static int capabilities(int fd, struct v4l2_capability *answer)
{
    char link[64], path[256] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    *answer = (struct v4l2_capability){.driver = "fifo", .card = "Paper Camera"};
    answer->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
    answer->device_caps = V4L2_CAP_STREAMING;
    answer->device_caps |= path[size - 1] == '1' ? V4L2_CAP_META_CAPTURE : V4L2_CAP_VIDEO_CAPTURE;
    return 0;
}

static int list_sizes(struct v4l2_frmsizeenum *answer)
{
    uint32_t index = 0;
    for (size_t each = 0; each < COUNT(modes); each++)
        if (modes[each].format == answer->pixel_format && index++ == answer->index) {
            answer->type = V4L2_FRMSIZE_TYPE_DISCRETE;
            answer->discrete = (struct v4l2_frmsize_discrete){modes[each].width, modes[each].height};
            return 0;
        }
    return fail(EINVAL);
}

/* As drivers do: the nearest, and no error. */
static int set_format(int fd, struct v4l2_format *format)
{
    struct v4l2_pix_format *pix = &format->fmt.pix;
    if (__sync_bool_compare_and_swap(&owner, -1, fd) && flock(fd, LOCK_EX | LOCK_NB)) /* another process has it */
        owner = -1;
    if (owner != fd)
        return fail(EBUSY);
    mode = COUNT(modes) - 1;
    for (size_t each = 0; each < COUNT(modes); each++)
        if (modes[each].format == pix->pixelformat && modes[each].width <= pix->width)
            mode = each;
    pix->width = modes[mode].width, pix->height = modes[mode].height, pix->pixelformat = modes[mode].format;
    pix->field = V4L2_FIELD_NONE;
    return 0;
}

static int set_rate(struct v4l2_streamparm *parameters, int change)
{
    struct v4l2_captureparm *capture = &parameters->parm.capture;
    if (change && capture->timeperframe.numerator)
        fps = capture->timeperframe.denominator / capture->timeperframe.numerator;
    fps = fps > 30 ? 30 : fps;
    capture->capability = V4L2_CAP_TIMEPERFRAME;
    capture->timeperframe = (struct v4l2_fract){1, fps};
    return 0;
}

static int dequeue(int fd, struct v4l2_buffer *buffer)
{
    uint32_t size, index = 0;
    struct timespec now;
    if (unplugged)
        return fail(ENODEV);
    if (!streaming)
        return fail(EINVAL);
    while (index < BUFFERS && !queued[index])
        index++;
    if (index == BUFFERS)
        return fail(EAGAIN);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (streaming && !poll(&ready, 1, 5)) /* until another thread stops it */
        ;
    if (!streaming)
        return fail(EINVAL);
    ssize_t got = read(fd, &size, sizeof size);
    if (got != sizeof size)
        return fail(got < 0 ? errno : EIO);
    if (size == UNPLUGGED) {
        unplugged = 1;
        return fail(ENODEV);
    }
    buffer->flags = size == DAMAGED ? V4L2_BUF_FLAG_ERROR : 0;
    buffer->bytesused = size == DAMAGED ? 1 : size;
    if (size != DAMAGED)
        read_all(fd, memory[index], size);
    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer->timestamp = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    buffer->index = index;
    queued[index] = 0;
    return 0;
}

static int answer(int fd, unsigned long request, void *argument)
{
    struct v4l2_fmtdesc *description = argument;
    struct v4l2_buffer *buffer = argument;
    struct v4l2_requestbuffers *buffers = argument;
    struct v4l2_format *format = argument;
    switch (request) {
    case VIDIOC_QUERYCAP:
        return capabilities(fd, argument);
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_ENUMINPUT:
        return ((struct v4l2_input *)argument)->index ? fail(EINVAL) : 0;
    case VIDIOC_ENUM_FMT:
        if (description->index >= COUNT(formats))
            return fail(EINVAL);
        description->pixelformat = formats[description->index];
        return 0;
    case VIDIOC_ENUM_FRAMESIZES:
        return list_sizes(argument);
    case VIDIOC_G_FMT:
        format->fmt.pix.width = modes[mode].width, format->fmt.pix.height = modes[mode].height;
        return 0;
    case VIDIOC_S_FMT:
        return set_format(fd, format);
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        return set_rate(argument, request == VIDIOC_S_PARM);
    case VIDIOC_REQBUFS:
        buffers->count = BUFFERS;
        return 0;
    case VIDIOC_QUERYBUF:
        buffer->length = BUFFER_SIZE;
        buffer->m.offset = buffer->index * BUFFER_SIZE;
        return 0;
    case VIDIOC_QBUF:
        queued[buffer->index] = 1;
        return 0;
    case VIDIOC_DQBUF:
        return dequeue(fd, buffer);
    case VIDIOC_STREAMON:
        unplugged = 0, streaming = 1;
        return 0;
    case VIDIOC_STREAMOFF:
        if (owner == fd) {
            streaming = 0;
            memset(queued, 0, sizeof queued);
            flock(fd, LOCK_UN);
            owner = -1;
        }
        return 0;
    }
    return fail(ENOTTY);
}

int ioctl(int fd, unsigned long request, ...)
{
    static int (*next)(int, unsigned long, ...);
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (_IOC_TYPE(request) == 'V' && is_fifo(fd))
        return answer(fd, request & 0xffffffffu, argument);
    if (!next)
        next = dlsym(RTLD_NEXT, "ioctl");
    return next(fd, request, argument);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
    static void *(*next)(void *, size_t, int, int, int, off64_t);
    if (!next)
        next = dlsym(RTLD_NEXT, "mmap64");
    if (fd < 0 || !is_fifo(fd))
        return next(address, length, protection, flags, fd, offset);
    void *found = next(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory[offset / BUFFER_SIZE] = found;
    return found;
}
