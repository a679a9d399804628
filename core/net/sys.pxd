# System calls of the engine (Linux).

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLL_CTL_DEL
        EPOLL_CLOEXEC
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int descriptor, epoll_event *event)

cdef extern from "<sys/eventfd.h>" nogil:
    enum:
        EFD_CLOEXEC
        EFD_NONBLOCK
    int eventfd(unsigned int initial, int flags)

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL
        SHUT_WR
        SOL_SOCKET
        SO_LINGER
        SO_SNDBUFFORCE
    struct linger:
        int l_onoff
        int l_linger
    ssize_t recv(int descriptor, void *buffer, size_t size, int flags)
    ssize_t send(int descriptor, const void *buffer, size_t size, int flags)
    int shutdown(int descriptor, int how)
    int setsockopt(int descriptor, int level, int name, const void *value, unsigned int size)

cdef extern from "<netinet/in.h>" nogil:
    enum:
        IPPROTO_TCP

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        TCP_NOTSENT_LOWAT

cdef extern from "<sys/sendfile.h>" nogil:
    ssize_t sendfile(int socket, int descriptor, int64_t *offset, size_t size)

cdef extern from "<sys/mman.h>" nogil:
    enum:
        MFD_CLOEXEC
    int memfd_create(const char *name, unsigned int flags)

cdef extern from "<fcntl.h>" nogil:
    enum:
        FALLOC_FL_KEEP_SIZE
        FALLOC_FL_PUNCH_HOLE
    int fallocate(int descriptor, int mode, int64_t offset, int64_t size)

cdef extern from "<unistd.h>" nogil:
    int getpagesize()
    ssize_t pwrite(int descriptor, const void *data, size_t size, int64_t offset)

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int descriptor, unsigned long request, ...)

cdef extern from "<linux/sockios.h>" nogil:
    enum:
        SIOCOUTQ

cdef extern from *:
    """
    #include <errno.h>
    #include <sys/epoll.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    /* epoll_wait to the nanosecond; a negative timeout waits for ever. Kernels before 5.11 get whole milliseconds. */
    static inline int epoll_wait_ns(int epoll, struct epoll_event *events, int count, int64_t timeout_ns) {
    #ifdef SYS_epoll_pwait2
        int64_t timeout[2] = { timeout_ns / 1000000000, timeout_ns % 1000000000 };      /* __kernel_timespec */
        int ready = (int) syscall(SYS_epoll_pwait2, epoll, events, count, timeout_ns < 0 ? NULL : timeout, NULL, 0);
        if (ready >= 0 || (errno != ENOSYS && errno != EPERM)) return ready;      /* EPERM: seccomp of a container */
    #endif
        return epoll_wait(epoll, events, count, timeout_ns < 0 ? -1 : (int) ((timeout_ns + 999999) / 1000000));
    }
    static inline int64_t monotonic_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t) now.tv_sec * 1000000000LL + now.tv_nsec;
    }
    """
    int64_t monotonic_ns() noexcept nogil
    int epoll_wait_ns(int epoll, epoll_event *events, int count, int64_t timeout_ns) noexcept nogil
