// How much of the network PJSIP handles at once. By itself it reads 50 datagrams for each event of a
// UDP socket, and that up to PJSIP_MAX_NET_EVENTS times: 60 ms of calls that come, in which no audio
// is relayed. Here each datagram is an event. The linker puts this in the place of what reads
// (WRAPPED in recipe.py).

#include <pjlib.h>

extern "C" pj_status_t __real_pj_ioqueue_recvfrom(
    pj_ioqueue_key_t *, pj_ioqueue_op_key_t *, void *, pj_ssize_t *, pj_uint32_t, pj_sockaddr_t *,
    int *);

extern "C" pj_status_t __wrap_pj_ioqueue_recvfrom(
    pj_ioqueue_key_t *key, pj_ioqueue_op_key_t *operation, void *buffer, pj_ssize_t *length,
    pj_uint32_t flags, pj_sockaddr_t *source, int *source_length) {
    return __real_pj_ioqueue_recvfrom(
        key, operation, buffer, length, flags | PJ_IOQUEUE_ALWAYS_ASYNC, source, source_length);
}
