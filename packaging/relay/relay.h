/* The hot path of bridge/media/relay.py, compiled: plain packets of calls in steady state.
 *
 * The Python path is the reference, and keeps all that is unusual. No state is kept here: these
 * functions read and write the slots of the very objects that Python uses, so both may take turns
 * from packet to packet. The slots `compiled` hold what is made of others once: ciphers under a
 * key, addresses as the kernel takes them. A packet that is not plain in every respect leaves
 * everything as it was and goes back to Python, which decides; so does whatever fails.
 *
 *   read_phones   steps 1 to 4: a packet of each socket that has one, into its reorder buffer
 *   seal_slot     steps 5 and 6: the mini frames of one slot
 *   Link.read     steps A to E: mini frames of the link, out to the phones; and calls' ACKs
 *
 * Each of them asks for the memory of the next few calls at once, before it needs it: ahead.c.
 *
 * The numbers in comments are the steps of relay.py. Slots are found by name when configure() is
 * called; a class that has lost one is refused there.
 */
#ifndef SIAX_RELAY_H
#define SIAX_RELAY_H

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>

#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    BLOCK = 16,
    MINI_CLEAR = 2,
    TIMESTAMP = 2,
    RTP_HEADER = 12,
    FRAME_MS = 20,
    SAMPLES_PER_MS = 8,
    RING = 4, /* of ReorderBuffer */
    SMALL_MAX = 256, /* CPython has one object for each integer up to here */
    PHONE_MAX = 479, /* DATAGRAM_OCTETS_MAX of relay.py */
    PLAIN_MAX = PHONE_MAX + 3 * BLOCK,
};
#define NONE INT64_MIN /* of integer(): no integer, or one beyond 63 bits, which is never plain */

/* objects.c: the slots of Python's objects */

#define CLASSES(X) X(CallMedia) X(MediaCounters) X(SymmetricLatch) X(ReceptionStatistics) \
    X(ReorderBuffer) X(PhoneStream) X(VoicePath) X(ReceiveClock) X(Sealer) X(Opener) \
    X(ChannelStatistics) X(ReliableSequence) X(Outstanding) X(FullFrame)
#define SLOTS(X) \
    X(CallMedia, latch) X(CallMedia, counters) X(CallMedia, buffer) X(CallMedia, stream) \
    X(CallMedia, packet_octets) X(CallMedia, payload_type) X(CallMedia, phone_sends) \
    X(CallMedia, ssrc) X(CallMedia, last_rtp_at) X(CallMedia, count) X(CallMedia, pull) \
    X(CallMedia, path) X(CallMedia, silence) X(CallMedia, seal) X(CallMedia, open_frame) \
    X(CallMedia, receive) X(CallMedia, send_rtp) X(CallMedia, descriptor) \
    X(CallMedia, speaking) X(CallMedia, first_slot) X(CallMedia, origin_ms) \
    X(CallMedia, table_to_link) X(CallMedia, table_to_phone) \
    X(MediaCounters, received) X(MediaCounters, sent) X(MediaCounters, sent_octets) \
    X(MediaCounters, send_blocked) X(MediaCounters, send_failed) \
    X(SymmetricLatch, source) X(SymmetricLatch, destination) X(SymmetricLatch, compiled) \
    X(ReceptionStatistics, received) X(ReceptionStatistics, highest_sequence) \
    X(ReceptionStatistics, _jitter_16) X(ReceptionStatistics, _transit) \
    X(ReceptionStatistics, _clock_rate_hz) \
    X(ReorderBuffer, _frames) X(ReorderBuffer, _head) X(ReorderBuffer, _held) \
    X(ReorderBuffer, _idle) X(ReorderBuffer, _patience) X(ReorderBuffer, _deep_pulls) \
    X(ReorderBuffer, _owed) X(ReorderBuffer, underruns) \
    X(PhoneStream, ssrc) X(PhoneStream, timestamp) X(PhoneStream, timestamp_at) \
    X(PhoneStream, _expected_ms) X(PhoneStream, _offset_samples) X(PhoneStream, _sequence) \
    X(VoicePath, sealer) X(VoicePath, opener) X(VoicePath, sent) X(VoicePath, received) \
    X(VoicePath, jitter_ms) X(VoicePath, last_timestamp_ms) X(VoicePath, _deviation_ms) \
    X(VoicePath, _full_frame_period) X(VoicePath, _clear_header) X(VoicePath, _clock) \
    X(VoicePath, _datagram_octets) X(VoicePath, _body_octets) X(VoicePath, _rivals) \
    X(VoicePath, sequence) X(VoicePath, statistics) \
    X(ReceiveClock, _offset_ms) \
    X(Sealer, key) X(Sealer, compiled) X(Opener, key) X(Opener, compiled) \
    X(ChannelStatistics, received_encrypted) \
    X(ReliableSequence, rtt_s) X(ReliableSequence, oseqno) X(ReliableSequence, iseqno) \
    X(ReliableSequence, _patience) X(ReliableSequence, _outstanding) \
    X(Outstanding, frame) X(Outstanding, tag) X(Outstanding, sent_at) \
    X(Outstanding, was_repeated) X(FullFrame, timestamp_ms)

#define DECLARE_CLASS(name) extern PyTypeObject *name##_class;
CLASSES(DECLARE_CLASS)
#define DECLARE_SLOT(class, name) extern Py_ssize_t class##_##name;
SLOTS(DECLARE_SLOT)
extern PyObject *plain_pull; /* the function ReorderBuffer.pull */

#define IS(object, class) (Py_TYPE(object) == class##_class)
#define AT(object, class, name) (*(PyObject **)((char *)(object) + class##_##name))
/* Integers of slots; what does not fit 63 bits never does any harm, it only is not plain. */
#define INT(object, class, name) integer(AT(object, class, name))
#define SET(object, class, name, value) set(&AT(object, class, name), value)
#define ADD(object, class, name, value) \
    SET_INT(object, class, name, INT(object, class, name) + (value))
#define SET_INT(object, class, name, value) set_integer(&AT(object, class, name), value)
#define SET_FLOAT(object, class, name, value) set_float(&AT(object, class, name), value)

extern long long long_integer(PyObject *value);
extern void translate(PyObject *table, uint8_t *octets, Py_ssize_t count);
extern PyObject *configure(PyObject *self, PyObject *none, PyObject *classes);

static inline long long integer(PyObject *value)
{
#if PY_VERSION_HEX < 0x030c0000 /* later ones are read by their own, slower, function */
    if (value && PyLong_CheckExact(value)) {
        const digit *digits = ((PyLongObject *)value)->ob_digit;
        switch (Py_SIZE(value)) {
        case 0: return 0;
        case 1: return digits[0];
        case 2: return (long long)digits[1] << PyLong_SHIFT | digits[0];
        }
    }
#endif
    return long_integer(value);
}

/* Takes over the new reference; a number that finds no memory keeps its old value. */
static inline void set(PyObject **slot, PyObject *value)
{
    if (!value) {
        PyErr_Clear();
        return;
    }
    PyObject *before = *slot;
    *slot = value;
    Py_XDECREF(before);
}

/* Numbers change a hundred times a second and call: an object that is a slot's alone takes its next
 * one in place, where it has as many digits. Small integers are everybody's. */
static inline void set_integer(PyObject **slot, long long value)
{
#if PY_VERSION_HEX < 0x030c0000
    PyObject *own = *slot;
    long long high = value >> PyLong_SHIFT;
    if (own && Py_REFCNT(own) == 1 && PyLong_CheckExact(own) && value > SMALL_MAX
        && Py_SIZE(own) == (high ? 2 : 1) && high <= PyLong_MASK) {
        digit *digits = ((PyLongObject *)own)->ob_digit;
        digits[0] = (digit)(value & PyLong_MASK);
        if (high)
            digits[1] = (digit)high;
        return;
    }
#endif
    set(slot, PyLong_FromLongLong(value));
}

static inline void set_float(PyObject **slot, double value)
{
    PyObject *own = *slot;
    if (own && Py_REFCNT(own) == 1 && PyFloat_CheckExact(own))
        ((PyFloatObject *)own)->ob_fval = value;
    else
        set(slot, PyFloat_FromDouble(value));
}

/* The object of a class that a bound method belongs to, or NULL. */
static inline PyObject *owner(PyObject *method, PyTypeObject *class)
{
    if (!method || !PyMethod_Check(method) || Py_TYPE(PyMethod_GET_SELF(method)) != class)
        return NULL;
    return PyMethod_GET_SELF(method);
}

/* A translation from codec to codec, octet by octet, or None. */
static inline bool is_table(PyObject *table)
{
    return table == Py_None || (PyBytes_CheckExact(table) && PyBytes_GET_SIZE(table) == 256);
}

/* addresses.c: tuples as Python's socket module has them, and the kernel's */

union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};
struct place { /* an address in both forms */
    PyObject *pair;
    union address address;
    socklen_t size; /* 0: no address */
};
struct phone { /* a Python object that a latch keeps in its slot `compiled` */
    PyObject_HEAD
    struct place source, destination;
};
extern PyTypeObject PhoneType;

extern const struct phone *phone_of(PyObject *latch);
extern bool same_address(const union address *one, const union address *other);
extern PyObject *pair_of(const union address *address);

/* cipher.c: AES-128-CBC, and random padding */

struct context { /* a Python object that Sealer and Opener keep in their slot `compiled` */
    PyObject_HEAD
    EVP_CIPHER_CTX *cipher;
    uint8_t chain; /* the last octet of what went through before */
};
extern PyTypeObject ContextType;

extern struct context *context(PyObject *key, PyObject **kept, int encipher);
extern bool encipher(struct context *context, uint8_t *to, uint8_t *plain, int octets);
extern bool decipher(struct context *context, uint8_t *plain, const uint8_t *from, int octets);
extern bool draw(uint8_t *to, size_t octets);

/* ahead.c: calls whose packets come next, AHEAD of them at most; one that is NULL is passed over */

enum { AHEAD = 16 };

extern void ahead_of_phones(PyObject *const *calls, int count);
extern void ahead_of_slot(PyObject *const *calls, int count);
extern void ahead_of_link(PyObject *const *calls, int count);
extern void ahead_of_acks(PyObject *const *calls, int count);

/* acks.c: an ACK of the link */

extern bool take_ack(PyObject *media, const uint8_t *datagram, Py_ssize_t octets, double now);

/* phones.c, link.c: the two directions */

extern PyObject *read_phones(PyObject *self, PyObject *arguments);
extern PyObject *seal_slot(PyObject *self, PyObject *arguments);
extern const char read_phones_doc[], seal_slot_doc[], configure_doc[];
extern PyTypeObject LinkType;

#endif
