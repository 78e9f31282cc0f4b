/* Addresses: tuples as Python's socket module has them, and the kernel's. */
#include "relay.h"

#include <arpa/inet.h>

/* The size of what was written; 0: no address. */
static socklen_t address_of(PyObject *pair, union address *address)
{
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) < 2)
        return 0;
    const char *host = PyUnicode_Check(PyTuple_GET_ITEM(pair, 0))
        ? PyUnicode_AsUTF8(PyTuple_GET_ITEM(pair, 0)) : NULL;
    long long port = integer(PyTuple_GET_ITEM(pair, 1));
    if (!host || port < 0 || port > 65535) {
        PyErr_Clear();
        return 0;
    }
    if (inet_pton(AF_INET, host, &address->four.sin_addr) == 1) {
        address->four.sin_family = AF_INET;
        address->four.sin_port = htons((uint16_t)port);
        return sizeof address->four;
    }
    struct sockaddr_in6 *six = &address->six;
    if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1 || PyTuple_GET_SIZE(pair) != 4)
        return 0;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    six->sin6_flowinfo = htonl((uint32_t)integer(PyTuple_GET_ITEM(pair, 2)));
    six->sin6_scope_id = (uint32_t)integer(PyTuple_GET_ITEM(pair, 3));
    return sizeof *six;
}

static void follow(struct place *place, PyObject *pair)
{
    if (place->pair == pair) /* held, so nothing else can be where it is */
        return;
    Py_XSETREF(place->pair, Py_XNewRef(pair));
    place->size = pair ? address_of(pair, &place->address) : 0;
}

static void free_phone(struct phone *self)
{
    Py_XDECREF(self->source.pair);
    Py_XDECREF(self->destination.pair);
    PyObject_Free(self);
}

PyTypeObject PhoneType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "siax_relay.Phone",
    .tp_doc = "Where a phone is, as the kernel takes it.",
    .tp_basicsize = sizeof(struct phone),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)free_phone,
};

/* Where the phone of a latch is, kept in its slot `compiled`; NULL where there is no memory. */
const struct phone *phone_of(PyObject *latch)
{
    PyObject **kept = &AT(latch, SymmetricLatch, compiled);
    if (!*kept || !Py_IS_TYPE(*kept, &PhoneType)) {
        struct phone *made = PyObject_New(struct phone, &PhoneType);
        if (!made) {
            PyErr_Clear();
            return NULL;
        }
        made->source = made->destination = (struct place){NULL};
        set(kept, (PyObject *)made);
    }
    struct phone *phone = (struct phone *)*kept;
    follow(&phone->source, AT(latch, SymmetricLatch, source));
    follow(&phone->destination, AT(latch, SymmetricLatch, destination));
    return phone;
}

bool same_address(const union address *one, const union address *other)
{
    if (one->any.sa_family != other->any.sa_family)
        return false;
    if (one->any.sa_family == AF_INET)
        return one->four.sin_port == other->four.sin_port
            && one->four.sin_addr.s_addr == other->four.sin_addr.s_addr;
    const struct sockaddr_in6 *a = &one->six, *b = &other->six;
    return a->sin6_port == b->sin6_port && a->sin6_scope_id == b->sin6_scope_id
        && a->sin6_flowinfo == b->sin6_flowinfo
        && !memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr);
}

/* As Python's socket module writes it. */
PyObject *pair_of(const union address *address)
{
    char host[INET6_ADDRSTRLEN];
    if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->four.sin_addr, host, sizeof host);
        return Py_BuildValue("(si)", host, ntohs(address->four.sin_port));
    }
    const struct sockaddr_in6 *six = &address->six;
    inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
    return Py_BuildValue("(siII)", host, ntohs(six->sin6_port), ntohl(six->sin6_flowinfo),
                         (unsigned)six->sin6_scope_id);
}
