/* Addresses: tuples as Python's socket module has them, and the kernel's. */
#include "relay.h"

#include <arpa/inet.h>

/* The size of what was written; 0: no address. */
socklen_t address_of(PyObject *pair, struct sockaddr_storage *address)
{
    if (!pair || !PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) < 2)
        return 0;
    const char *host = PyUnicode_Check(PyTuple_GET_ITEM(pair, 0))
        ? PyUnicode_AsUTF8(PyTuple_GET_ITEM(pair, 0)) : NULL;
    long long port = integer(PyTuple_GET_ITEM(pair, 1));
    if (!host || port < 0 || port > 65535) {
        PyErr_Clear();
        return 0;
    }
    struct sockaddr_in *four = (struct sockaddr_in *)address;
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        return sizeof *four;
    }
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
    if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1 || PyTuple_GET_SIZE(pair) != 4)
        return 0;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    six->sin6_flowinfo = htonl((uint32_t)integer(PyTuple_GET_ITEM(pair, 2)));
    six->sin6_scope_id = (uint32_t)integer(PyTuple_GET_ITEM(pair, 3));
    return sizeof *six;
}

bool same_address(const struct sockaddr_storage *one, const struct sockaddr_storage *other)
{
    if (one->ss_family != other->ss_family)
        return false;
    if (one->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)one, *b = (const void *)other;
        return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *a = (const void *)one, *b = (const void *)other;
    return a->sin6_port == b->sin6_port && a->sin6_scope_id == b->sin6_scope_id
        && a->sin6_flowinfo == b->sin6_flowinfo
        && !memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr);
}

/* As Python's socket module writes it. */
PyObject *pair_of(const struct sockaddr_storage *address)
{
    char host[INET6_ADDRSTRLEN];
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const void *)address;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        return Py_BuildValue("(si)", host, ntohs(four->sin_port));
    }
    const struct sockaddr_in6 *six = (const void *)address;
    inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
    return Py_BuildValue("(siII)", host, ntohs(six->sin6_port), ntohl(six->sin6_flowinfo),
                         (unsigned)six->sin6_scope_id);
}
