/* From the phones to the link: steps 1 to 6 of relay.py. */
#include "relay.h"

#include <sys/epoll.h>

enum {
    EVENTS_MAX = 1024,
    FRAMES_MAX = 3, /* of ReorderBuffer, as the next one */
    DROPOUT_MAX = 3000, /* of ReceptionStatistics */
    FULL_FRAME_EVERY_MS = 0x8000,
};
static const long long HALF = 1LL << 31;

struct packet {
    const uint8_t *octets;
    ssize_t size;
    const union address *source;
    uint16_t sequence;
    uint32_t timestamp;
};

/* Steps 2 and 3: from the phone, with a plain header, of the stream and the size that it has. */
static bool is_plain(PyObject *media, struct packet *packet)
{
    PyObject *latch = AT(media, CallMedia, latch);
    const struct phone *phone = IS(latch, SymmetricLatch) ? phone_of(latch) : NULL;
    const uint8_t *octets = packet->octets;
    uint32_t ssrc;
    if (!phone || !phone->source.size || packet->size < RTP_HEADER
        || !same_address(&phone->source.address, packet->source)
        || packet->size != INT(media, CallMedia, packet_octets) || octets[0] != 0x80
        || (octets[1] & 0x7f) != INT(media, CallMedia, payload_type))
        return false;
    packet->sequence = (uint16_t)(octets[2] << 8 | octets[3]);
    memcpy(&packet->timestamp, octets + 4, sizeof packet->timestamp);
    memcpy(&ssrc, octets + 8, sizeof ssrc);
    packet->timestamp = ntohl(packet->timestamp);
    return ntohl(ssrc) == INT(media, CallMedia, ssrc) && AT(media, CallMedia, path) != Py_None
        && AT(media, CallMedia, phone_sends) == Py_True;
}

/* How far ahead of the highest number a packet is; NONE where Python has to look at it. */
static long long ahead_of(PyObject *statistics, uint16_t sequence)
{
    long long highest = INT(statistics, ReceptionStatistics, highest_sequence);
    if (highest < 0 || INT(statistics, ReceptionStatistics, received) <= 0
        || INT(statistics, ReceptionStatistics, _clock_rate_hz) <= 0
        || INT(statistics, ReceptionStatistics, _jitter_16) == NONE)
        return NONE;
    long long ahead = (sequence - highest) & 0xffff;
    return ahead < DROPOUT_MAX ? ahead : NONE;
}

/* ReceptionStatistics.update. */
static void count(PyObject *statistics, const struct packet *packet, long long ahead, double now)
{
    PyObject *before = AT(statistics, ReceptionStatistics, _transit);
    double rate = (double)INT(statistics, ReceptionStatistics, _clock_rate_hz);
    long long transit = (long long)(now * rate) - packet->timestamp;
    if (before != Py_None) {
        long long jitter = INT(statistics, ReceptionStatistics, _jitter_16);
        uint32_t moved = (uint32_t)(transit - integer(before) + HALF);
        jitter += llabs((long long)moved - HALF) - ((jitter + 8) >> 4);
        SET_INT(statistics, ReceptionStatistics, _jitter_16, jitter);
    }
    SET_INT(statistics, ReceptionStatistics, _transit, transit);
    ADD(statistics, ReceptionStatistics, received, 1);
    ADD(statistics, ReceptionStatistics, highest_sequence, ahead);
}

/* The free place of a number among the frames of a buffer, -1 where it has none. */
static Py_ssize_t place_of(PyObject *buffer, uint16_t sequence)
{
    PyObject *frames = AT(buffer, ReorderBuffer, _frames);
    long long head = INT(buffer, ReorderBuffer, _head);
    long long ahead = ((sequence - head + 0x8000) & 0xffff) - 0x8000;
    Py_ssize_t place = sequence & (RING - 1);
    bool is_free = AT(buffer, ReorderBuffer, _idle) == Py_False && ahead >= 0 && ahead < FRAMES_MAX
        && PyList_CheckExact(frames) && PyList_GET_SIZE(frames) == RING
        && PyList_GET_ITEM(frames, place) == Py_None;
    return is_free ? place : -1;
}

/* Steps 2 to 4 for one packet; false: not plain, and nothing has changed. */
static bool from_phone(PyObject *media, struct packet *packet, PyObject *now)
{
    PyObject *counters = AT(media, CallMedia, counters), *buffer = AT(media, CallMedia, buffer);
    PyObject *statistics = owner(AT(media, CallMedia, count), ReceptionStatistics_class);
    PyObject *table = AT(media, CallMedia, table_to_link);
    if (!IS(counters, MediaCounters) || !IS(buffer, ReorderBuffer) || !statistics
        || !is_table(table) || !is_plain(media, packet))
        return false;
    long long ahead = ahead_of(statistics, packet->sequence);
    Py_ssize_t place = place_of(buffer, packet->sequence), octets = packet->size - RTP_HEADER;
    if (ahead == NONE || place < 0)
        return false;
    PyObject *frame = PyBytes_FromStringAndSize((const char *)packet->octets + RTP_HEADER, octets);
    if (!frame) {
        PyErr_Clear();
        return false;
    }
    translate(table, (uint8_t *)PyBytes_AS_STRING(frame), octets);
    PyList_SetItem(AT(buffer, ReorderBuffer, _frames), place, frame);
    ADD(buffer, ReorderBuffer, _held, 1);
    count(statistics, packet, ahead, PyFloat_AS_DOUBLE(now));
    SET(media, CallMedia, last_rtp_at, Py_NewRef(now));
    ADD(counters, MediaCounters, received, 1);
    return true;
}

/* What Python has to look at: (descriptor, (packet, source)), or (descriptor, None). */
static int leave(PyObject *rest, int descriptor, PyObject *packet)
{
    PyObject *item = packet ? Py_BuildValue("(iN)", descriptor, packet) : NULL;
    int failed = !item || PyList_Append(rest, item);
    Py_XDECREF(item);
    return failed ? -1 : 0;
}

static int read_phone(PyObject *media, int descriptor, PyObject *now, PyObject *rest)
{
    /* Only a bare socket's own recvfrom is read here: SRTP has another in its place. */
    if (!media || !IS(media, CallMedia) || !PyCFunction_Check(AT(media, CallMedia, receive)))
        return leave(rest, descriptor, Py_NewRef(Py_None));
    uint8_t octets[PHONE_MAX];
    union address source;
    socklen_t size = sizeof source;
    struct packet packet = {.octets = octets, .source = &source};
    packet.size = recvfrom(descriptor, octets, sizeof octets, MSG_DONTWAIT, &source.any, &size);
    if (packet.size < 0) /* read again by Python, which finds and counts what is wrong */
        return leave(rest, descriptor, Py_NewRef(Py_None));
    if (from_phone(media, &packet, now))
        return 0;
    return leave(rest, descriptor, Py_BuildValue("(y#N)", octets, packet.size, pair_of(&source)));
}

/* The calls of the sockets of some events: held, for Python may run before they are read. */
static void find(const struct epoll_event *ready, int count, PyObject *calls, PyObject **found)
{
    for (int i = 0; i < count; i++) {
        PyObject *number = PyLong_FromLong(ready[i].data.fd);
        found[i] = number ? PyDict_GetItemWithError(calls, number) : NULL;
        Py_XDECREF(number);
    }
    PyErr_Clear();
    ahead_of_phones(found, count);
    for (int i = 0; i < count; i++)
        Py_XINCREF(found[i]);
}

static int read_some(const struct epoll_event *ready, int count, PyObject *calls, PyObject *now,
                     PyObject *rest)
{
    PyObject *found[AHEAD];
    int failed = 0;
    find(ready, count, calls, found);
    for (int i = 0; i < count; i++) {
        failed = failed || read_phone(found[i], ready[i].data.fd, now, rest);
        Py_XDECREF(found[i]);
    }
    return failed;
}

const char read_phones_doc[] =
"read_phones(epoll, calls, now) -> list or None\n\n"
"Read one packet of each socket that has one; None where none has. What is not plain comes back\n"
"as (descriptor, (packet, source)); (descriptor, None) has not been read at all.";

PyObject *read_phones(PyObject *self, PyObject *arguments)
{
    static struct epoll_event ready[EVENTS_MAX];
    PyObject *sockets, *calls, *now;
    if (!PyArg_ParseTuple(arguments, "OO!O!", &sockets, &PyDict_Type, &calls, &PyFloat_Type, &now))
        return NULL;
    int descriptor = PyObject_AsFileDescriptor(sockets);
    if (descriptor < 0)
        return NULL;
    int count = epoll_wait(descriptor, ready, EVENTS_MAX, 0);
    if (count < 0 && errno != EINTR)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (count <= 0)
        Py_RETURN_NONE;
    PyObject *rest = PyList_New(0);
    for (int i = 0; rest && i < count; i += AHEAD)
        if (read_some(ready + i, Py_MIN(AHEAD, count - i), calls, now, rest))
            Py_CLEAR(rest);
    return rest;
}

/* Step 6: the frame under padding of its own, as bridge/iax2/cipher.py has it; NULL: it fails. */
static PyObject *encrypt(PyObject *path, PyObject *frame, uint32_t timestamp)
{
    PyObject *sealer = AT(path, VoicePath, sealer), *clear = AT(path, VoicePath, _clear_header);
    int body = (int)PyBytes_GET_SIZE(frame) + TIMESTAMP, extra = -body & (BLOCK - 1);
    int octets = BLOCK + extra + body;
    uint8_t plain[PLAIN_MAX], *at = plain + BLOCK + extra;
    if (!IS(sealer, Sealer) || !PyBytes_CheckExact(clear) || PyBytes_GET_SIZE(clear) != MINI_CLEAR
        || octets > (int)sizeof plain || !draw(plain, BLOCK + extra))
        return NULL;
    struct context *keyed = context(AT(sealer, Sealer, key), &AT(sealer, Sealer, compiled), 1);
    PyObject *datagram = keyed ? PyBytes_FromStringAndSize(NULL, MINI_CLEAR + octets) : NULL;
    if (!datagram) {
        PyErr_Clear();
        return NULL;
    }
    plain[BLOCK - 1] = (uint8_t)((plain[BLOCK - 1] & 0xf0) | extra);
    at[0] = (uint8_t)(timestamp >> 8);
    at[1] = (uint8_t)timestamp;
    memcpy(at + TIMESTAMP, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame));
    uint8_t *wire = (uint8_t *)PyBytes_AS_STRING(datagram);
    memcpy(wire, PyBytes_AS_STRING(clear), MINI_CLEAR);
    if (!encipher(keyed, wire + MINI_CLEAR, plain, octets))
        Py_CLEAR(datagram);
    return datagram;
}

/* What ReorderBuffer.pull counts when a frame is due and none has come. */
static void underrun(PyObject *buffer)
{
    SET_INT(buffer, ReorderBuffer, _owed,
            Py_MIN(INT(buffer, ReorderBuffer, _owed) + 1, FRAMES_MAX));
    SET_INT(buffer, ReorderBuffer, _deep_pulls, 0);
    ADD(buffer, ReorderBuffer, underruns, 1);
}

/* What it does when it gives the frame at its head. */
static void pulled(PyObject *buffer, PyObject *frames, long long head)
{
    PyList_SetItem(frames, head & (RING - 1), Py_NewRef(Py_None));
    SET_INT(buffer, ReorderBuffer, _head, (head + 1) & 0xffff);
    ADD(buffer, ReorderBuffer, _held, -1);
    if (INT(buffer, ReorderBuffer, _held))
        ADD(buffer, ReorderBuffer, _deep_pulls, 1);
    else
        SET_INT(buffer, ReorderBuffer, _deep_pulls, 0);
}

/* Steps 5 and 6 for one call: a datagram, or NULL: not plain, and nothing has changed. */
static PyObject *seal(PyObject *media, long long slot)
{
    PyObject *pull = AT(media, CallMedia, pull);
    PyObject *buffer = owner(pull, ReorderBuffer_class);
    PyObject *path = owner(AT(media, CallMedia, seal), VoicePath_class);
    if (!buffer || !path || PyMethod_GET_FUNCTION(pull) != plain_pull)
        return NULL;
    PyObject *frames = AT(buffer, ReorderBuffer, _frames);
    long long head = INT(buffer, ReorderBuffer, _head);
    uint32_t timestamp = (uint32_t)(INT(media, CallMedia, origin_ms) + slot * FRAME_MS);
    if (!PyList_CheckExact(frames) || PyList_GET_SIZE(frames) != RING
        || INT(buffer, ReorderBuffer, _deep_pulls) + 1 >= INT(buffer, ReorderBuffer, _patience)
        || timestamp / FULL_FRAME_EVERY_MS != INT(path, VoicePath, _full_frame_period))
        return NULL;
    PyObject *frame = PyList_GET_ITEM(frames, head & (RING - 1));
    bool is_silent = frame == Py_None;
    if (is_silent && INT(buffer, ReorderBuffer, _held) && INT(buffer, ReorderBuffer, _owed))
        return NULL; /* its time has passed as silence already */
    if (is_silent)
        frame = AT(media, CallMedia, silence);
    if (!PyBytes_CheckExact(frame) || !PyBytes_GET_SIZE(frame)
        || PyBytes_GET_SIZE(frame) + TIMESTAMP != INT(path, VoicePath, _body_octets))
        return NULL;
    PyObject *datagram = encrypt(path, frame, timestamp);
    if (!datagram)
        return NULL;
    if (is_silent)
        underrun(buffer);
    else
        pulled(buffer, frames, head);
    ADD(path, VoicePath, sent, 1);
    return datagram;
}

static int seal_one(PyObject *media, long long slot, PyObject *datagrams, PyObject *rest)
{
    if (!IS(media, CallMedia))
        return PyList_Append(rest, media);
    if (slot < INT(media, CallMedia, first_slot))
        return 0;
    PyObject *datagram = seal(media, slot);
    int failed = PyList_Append(datagram ? datagrams : rest, datagram ? datagram : media);
    Py_XDECREF(datagram);
    return failed;
}

const char seal_slot_doc[] =
"seal_slot(calls, slot) -> (datagrams, calls)\n\n"
"Take and seal the frames of one slot; the calls that come back are Python's to serve.";

PyObject *seal_slot(PyObject *self, PyObject *arguments)
{
    PyObject *calls;
    long long slot;
    if (!PyArg_ParseTuple(arguments, "O!L", &PyTuple_Type, &calls, &slot))
        return NULL;
    PyObject *datagrams = PyList_New(0), *rest = PyList_New(0);
    int failed = !datagrams || !rest, count = (int)PyTuple_GET_SIZE(calls);
    for (int i = 0; !failed && i < count; i++) {
        PyObject *const *next = &PyTuple_GET_ITEM(calls, i);
        if (i % AHEAD == 0)
            ahead_of_slot(next, Py_MIN(AHEAD, count - i));
        failed = seal_one(*next, slot, datagrams, rest);
    }
    if (failed) {
        Py_XDECREF(datagrams);
        Py_XDECREF(rest);
        return NULL;
    }
    return Py_BuildValue("(NN)", datagrams, rest);
}
