/* From the link to the phones: steps A to E of relay.py. */
#include "relay.h"

#include <netinet/udp.h>

enum { LINK_MAX = 65535, DEVIATION_MAX_MS = 1000, FULL = 0x80 /* in the first octet */ };
static const double JITTER_GAIN = 1.0 / 16, DRIFT_GAIN = 1.0 / 16;

struct frame {
    uint8_t plain[PLAIN_MAX]; /* decrypted, padding and all */
    uint8_t *payload;
    int octets;
    uint32_t timestamp;
    long long deviation;
};

/* Step B: decrypted, and just the next frame of its path, near its time. */
static bool is_next(PyObject *path, const uint8_t *datagram, Py_ssize_t octets, double now,
                    struct frame *frame)
{
    PyObject *opener = AT(path, VoicePath, opener), *clock = AT(path, VoicePath, _clock);
    PyObject *rivals = AT(path, VoicePath, _rivals);
    long long body = INT(path, VoicePath, _body_octets);
    int sealed = (int)octets - MINI_CLEAR;
    if (!IS(opener, Opener) || !IS(clock, ReceiveClock) || !PyTuple_CheckExact(rivals)
        || PyTuple_GET_SIZE(rivals) || INT(path, VoicePath, received) <= 0 || body <= TIMESTAMP
        || octets != INT(path, VoicePath, _datagram_octets) || sealed < 2 * BLOCK || sealed % BLOCK
        || sealed > (int)sizeof frame->plain)
        return false;
    struct context *keyed = context(AT(opener, Opener, key), &AT(opener, Opener, compiled), 0);
    PyObject *offset = AT(clock, ReceiveClock, _offset_ms);
    if (!PyFloat_CheckExact(offset) || !PyFloat_CheckExact(AT(path, VoicePath, jitter_ms)) || !keyed
        || !decipher(keyed, frame->plain, datagram + MINI_CLEAR, sealed))
        return false;
    int begin = BLOCK + (frame->plain[BLOCK - 1] & 0x0f);
    if (sealed - begin != body)
        return false;
    long long expected = (long long)(now * 1000 + PyFloat_AS_DOUBLE(offset));
    long long low = frame->plain[begin] << 8 | frame->plain[begin + 1];
    frame->deviation = ((low - expected + 0x8000) & 0xffff) - 0x8000;
    frame->timestamp = (uint32_t)(expected + frame->deviation);
    frame->payload = frame->plain + begin + TIMESTAMP;
    frame->octets = (int)body - TIMESTAMP;
    return llabs(frame->deviation) <= DEVIATION_MAX_MS
        && (long long)frame->timestamp - INT(path, VoicePath, last_timestamp_ms) == FRAME_MS;
}

/* What VoicePath.open counts of a frame that it believes. */
static void believe(PyObject *path, const struct frame *frame)
{
    PyObject *clock = AT(path, VoicePath, _clock);
    double offset = PyFloat_AS_DOUBLE(AT(clock, ReceiveClock, _offset_ms));
    double jitter = PyFloat_AS_DOUBLE(AT(path, VoicePath, jitter_ms));
    double change = (double)llabs(frame->deviation - INT(path, VoicePath, _deviation_ms));
    if (frame->deviation) {
        offset += (double)frame->deviation * DRIFT_GAIN;
        SET_FLOAT(clock, ReceiveClock, _offset_ms, offset);
    }
    jitter += JITTER_GAIN * (change - jitter);
    SET_FLOAT(path, VoicePath, jitter_ms, jitter);
    ADD(path, VoicePath, received, 1);
    SET_INT(path, VoicePath, last_timestamp_ms, frame->timestamp);
    SET_INT(path, VoicePath, _deviation_ms, frame->deviation);
}

/* Step D: the header, written over the padding before the payload; PhoneStream.audio_header. */
static uint8_t *write_header(PyObject *media, const struct frame *frame, PyObject *now)
{
    PyObject *stream = AT(media, CallMedia, stream);
    uint8_t *packet = frame->payload - RTP_HEADER;
    uint16_t sequence = (uint16_t)(INT(stream, PhoneStream, _sequence) + 1);
    uint32_t samples = (uint32_t)INT(stream, PhoneStream, _offset_samples);
    samples += frame->timestamp * SAMPLES_PER_MS;
    uint32_t fields[2] = {htonl(samples), htonl((uint32_t)INT(stream, PhoneStream, ssrc))};
    packet[0] = 0x80;
    packet[1] = (uint8_t)INT(media, CallMedia, payload_type);
    packet[2] = (uint8_t)(sequence >> 8);
    packet[3] = (uint8_t)sequence;
    memcpy(packet + 4, fields, sizeof fields);
    SET_INT(stream, PhoneStream, _expected_ms, (long long)frame->timestamp + FRAME_MS);
    SET_INT(stream, PhoneStream, _sequence, sequence);
    SET_INT(stream, PhoneStream, timestamp, samples);
    SET(stream, PhoneStream, timestamp_at, Py_NewRef(now));
    return packet;
}

/* Step E; what the network does not take is counted and forgotten. */
static void transmit(PyObject *counters, int descriptor, const uint8_t *packet, int octets,
                     const struct place *phone)
{
    if (sendto(descriptor, packet, RTP_HEADER + octets, MSG_DONTWAIT, &phone->address.any,
               phone->size) >= 0) {
        ADD(counters, MediaCounters, sent, 1);
        ADD(counters, MediaCounters, sent_octets, octets);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        ADD(counters, MediaCounters, send_blocked, 1);
    } else {
        ADD(counters, MediaCounters, send_failed, 1);
    }
}

/* Steps B to E for one mini frame; false: not plain, and nothing has changed. */
static bool to_phone(PyObject *media, const uint8_t *datagram, Py_ssize_t octets, PyObject *now)
{
    PyObject *path = owner(AT(media, CallMedia, open_frame), VoicePath_class);
    PyObject *latch = AT(media, CallMedia, latch), *stream = AT(media, CallMedia, stream);
    PyObject *counters = AT(media, CallMedia, counters), *sender = AT(media, CallMedia, send_rtp);
    PyObject *table = AT(media, CallMedia, table_to_phone);
    const struct phone *phone = IS(latch, SymmetricLatch) ? phone_of(latch) : NULL;
    struct frame frame;
    /* C. It is heard, and leaves by a bare socket: SRTP has another sender in its place. */
    if (!path || !phone || !phone->destination.size || !IS(stream, PhoneStream)
        || !is_table(table) || !IS(counters, MediaCounters) || !PyCFunction_Check(sender)
        || AT(media, CallMedia, speaking) != Py_False
        || !is_next(path, datagram, octets, PyFloat_AS_DOUBLE(now), &frame)
        || frame.timestamp != INT(stream, PhoneStream, _expected_ms))
        return false;
    believe(path, &frame);
    translate(table, frame.payload, frame.octets);
    uint8_t *packet = write_header(media, &frame, now);
    transmit(counters, (int)INT(media, CallMedia, descriptor), packet, frame.octets,
             &phone->destination);
    return true;
}

enum { BATCH = 16 };

struct arrived {
    union address source;
    union {
        char octets[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec to;
};

typedef struct {
    PyObject_HEAD
    int descriptor;
    uint8_t *octets; /* LINK_MAX for each of a batch; what is never filled takes no memory */
    struct arrived arrived[BATCH];
    struct mmsghdr messages[BATCH];
    int count, next; /* of the batch */
    bool is_empty; /* the kernel had no more than it */
    bool took_acks;
    const uint8_t *datagram;
    Py_ssize_t left, segment; /* of the datagrams that the kernel joined */
    int ahead; /* so many datagrams' calls have been asked for */
    union address source;
    PyObject *address; /* of source, as Python writes it */
    PyObject *numbers; /* of the calls with that address; borrowed while they are read */
} Link;

static int link_init(Link *self, PyObject *arguments, PyObject *keywords)
{
    if (!PyArg_ParseTuple(arguments, "i", &self->descriptor))
        return -1;
    if (!self->octets && !(self->octets = PyMem_RawMalloc((size_t)BATCH * LINK_MAX))) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < BATCH; i++) {
        struct arrived *each = &self->arrived[i];
        each->to = (struct iovec){self->octets + (size_t)i * LINK_MAX, LINK_MAX};
        self->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &each->source, .msg_iov = &each->to, .msg_iovlen = 1,
            .msg_control = &each->control};
    }
    return 0;
}

static void link_dealloc(Link *self)
{
    Py_XDECREF(self->address);
    PyMem_RawFree(self->octets);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Receives what the kernel has, a batch at most, and tells how many. */
static int receive(Link *self, int limit)
{
    int asked = Py_MIN(limit, BATCH), count;
    for (int i = 0; i < asked; i++) {
        self->messages[i].msg_hdr.msg_namelen = sizeof self->arrived[i].source;
        self->messages[i].msg_hdr.msg_controllen = sizeof self->arrived[i].control;
    }
    do /* an ICMP error of an earlier datagram is passed over */
        count = recvmmsg(self->descriptor, self->messages, asked, MSG_DONTWAIT, NULL);
    while (count < 0 && (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH));
    self->next = 0;
    self->count = Py_MAX(count, 0);
    self->is_empty = count < asked;
    return self->count;
}

/* Takes the next message of the batch apart; false: an error of ours. */
static bool take(Link *self)
{
    const struct mmsghdr *message = &self->messages[self->next];
    struct arrived *arrived = &self->arrived[self->next++];
    struct msghdr header = message->msg_hdr;
    self->datagram = arrived->to.iov_base;
    self->left = message->msg_len;
    self->segment = message->msg_len ? message->msg_len : 1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int segment;
            memcpy(&segment, CMSG_DATA(c), sizeof segment);
            if (segment > 0)
                self->segment = segment;
        }
    if (self->address && same_address(&arrived->source, &self->source))
        return true;
    PyObject *address = pair_of(&arrived->source);
    if (!address)
        return false;
    Py_XSETREF(self->address, address);
    self->source = arrived->source;
    self->numbers = NULL;
    self->ahead = 0;
    return true;
}

/* Step A; a full frame's number is that of its call's mini frames. */
static PyObject *call_of(Link *self, const uint8_t *datagram, PyObject *routes)
{
    PyObject *call = NULL;
    if (!self->numbers)
        self->numbers = PyDict_GetItemWithError(routes, self->address);
    if (self->numbers && PyDict_CheckExact(self->numbers)) {
        const char number[MINI_CLEAR] = {datagram[0] & ~FULL, datagram[1]};
        PyObject *octets = PyBytes_FromStringAndSize(number, MINI_CLEAR);
        call = octets ? PyDict_GetItemWithError(self->numbers, octets) : NULL;
        Py_XDECREF(octets);
    }
    PyErr_Clear();
    return call;
}

/* The calls of the datagrams that come next: voice and ACKs need other parts of them. */
struct coming {
    PyObject *voice[AHEAD], *acks[AHEAD];
    int voices, others;
};

static void note(struct coming *coming, PyObject *media, const uint8_t *datagram)
{
    if (*datagram & FULL)
        coming->acks[coming->others++] = media;
    else
        coming->voice[coming->voices++] = media;
}

/* Asks for their memory; of messages from elsewhere, for none. */
static void look_ahead(Link *self, PyObject *routes)
{
    struct coming coming = {.voices = 0};
    Py_ssize_t left = self->left;
    self->ahead = 0;
    for (const uint8_t *at = self->datagram; left > MINI_CLEAR && self->ahead < AHEAD;
         at += self->segment, left -= self->segment, self->ahead++)
        note(&coming, call_of(self, at, routes), at);
    for (int i = self->next; i < self->count && self->ahead < AHEAD; i++) {
        const uint8_t *at = self->arrived[i].to.iov_base;
        if (self->messages[i].msg_len > MINI_CLEAR
            && same_address(&self->arrived[i].source, &self->source)) {
            note(&coming, call_of(self, at, routes), at);
            self->ahead++;
        }
    }
    ahead_of_link(coming.voice, coming.voices);
    ahead_of_acks(coming.acks, coming.others);
}

static const char link_read_doc[] =
"read(routes, now, limit) -> (datagram, address, left) or bool\n\n"
"Relay mini frames until one datagram is not plain, which comes back with what is left of the\n"
"limit. Where nothing more has come, or the limit is reached: whether ACKs were taken since\n"
"that was said before.";

/* Steps B to E, or the like for an ACK; false: not plain, and nothing has changed. */
static bool serve(Link *self, PyObject *media, const uint8_t *datagram, Py_ssize_t octets,
                  PyObject *now)
{
    if (!media || !IS(media, CallMedia))
        return false;
    if (!(*datagram & FULL))
        return to_phone(media, datagram, octets, now);
    bool is_taken = take_ack(media, datagram, octets, PyFloat_AS_DOUBLE(now));
    self->took_acks |= is_taken;
    return is_taken;
}

static PyObject *link_read(Link *self, PyObject *arguments)
{
    PyObject *routes, *now;
    int limit;
    if (!PyArg_ParseTuple(arguments, "O!O!i", &PyDict_Type, &routes, &PyFloat_Type, &now, &limit))
        return NULL;
    self->numbers = NULL;
    for (;;) {
        while (self->left <= 0) {
            if (self->next < self->count) {
                if (!take(self))
                    return NULL;
            } else if (limit > 0 && !self->is_empty) {
                limit -= receive(self, limit);
            } else {
                PyObject *took_acks = PyBool_FromLong(self->took_acks);
                self->is_empty = self->took_acks = false; /* until it is asked the next time */
                return took_acks;
            }
        }
        if (self->ahead-- <= 0)
            look_ahead(self, routes);
        const uint8_t *datagram = self->datagram;
        Py_ssize_t octets = Py_MIN(self->segment, self->left);
        self->datagram += octets;
        self->left -= octets;
        PyObject *media = octets > MINI_CLEAR ? call_of(self, datagram, routes) : NULL;
        if (!serve(self, media, datagram, octets, now))
            return Py_BuildValue("(y#Oi)", datagram, octets, self->address, limit);
    }
}

static PyMethodDef link_methods[] = {
    {"read", (PyCFunction)link_read, METH_VARARGS, link_read_doc},
    {NULL},
};

PyTypeObject LinkType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "siax_relay.Link",
    .tp_doc = "The link's socket, by its descriptor, and what was received and not yet looked at.",
    .tp_basicsize = sizeof(Link),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)link_init,
    .tp_dealloc = (destructor)link_dealloc,
    .tp_methods = link_methods,
};
