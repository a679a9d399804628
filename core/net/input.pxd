from libc.stdint cimport int64_t

from camfleet.core.net.client cimport Client, Scratch
from camfleet.core.net.inlet cimport InletState
from camfleet.core.net.queue cimport Queue

# One recv; events go to the queue. STATUS_OK, or negative: close the client.
cdef int client_receive(Client *client, Scratch *scratch, Queue *events, int64_t now_ns) noexcept nogil
# The peer will send nothing more. ERROR_CLOSED: nor has it an answer to expect.
cdef int end_of_input(Client *client, Queue *events) noexcept nogil
# What comes on its channels goes to an inlet from now on; NULL: nowhere. The inlet is held for the client.
cdef void client_publish(Client *client, InletState *inlet) noexcept nogil
