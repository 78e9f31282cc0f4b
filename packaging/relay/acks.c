/* From the link: the ACK of a call's oldest full frame, as FrameChannel.take_ack and Call.receive
 * take it. Half of all full frames are such, for each signal brings one. */
#include "relay.h"

enum {
    FULL_CLEAR = 4,
    BODY = 8, /* of an ACK, encrypted */
    OCTETS = FULL_CLEAR + 2 * BLOCK,
    IAX = 6, ACK = 4,
    STATELESS = 1, /* a call number that frames outside of calls have */
    SEQUENCE_WINDOW = 32, OUTSTANDING_MAX = 64,
};
static const double RTT_GAIN = 0.125;

struct ack {
    uint32_t timestamp;
    uint8_t oseqno, iseqno;
};

/* Decrypted, and by its octets an ACK of the peer's to us. */
static bool opens(PyObject *path, const uint8_t *datagram, Py_ssize_t octets, struct ack *ack)
{
    PyObject *opener = AT(path, VoicePath, opener), *rivals = AT(path, VoicePath, _rivals);
    PyObject *ours = AT(path, VoicePath, _clear_header);
    uint8_t plain[2 * BLOCK], *body = plain + sizeof plain - BODY;
    if (octets != OCTETS || !IS(opener, Opener) || !PyTuple_CheckExact(rivals)
        || PyTuple_GET_SIZE(rivals) || !PyBytes_CheckExact(ours) || PyBytes_GET_SIZE(ours) != 2)
        return false;
    const uint8_t *number = (const uint8_t *)PyBytes_AS_STRING(ours);
    bool is_stateless = !(datagram[0] & 0x7f) && datagram[1] == STATELESS;
    if (is_stateless || (datagram[2] & 0x7f) != number[0] || datagram[3] != number[1])
        return false;
    struct context *keyed = context(AT(opener, Opener, key), &AT(opener, Opener, compiled), 0);
    if (!keyed || !decipher(keyed, plain, datagram + FULL_CLEAR, sizeof plain)
        || (plain[BLOCK - 1] & 0x0f) != BLOCK - BODY || body[6] != IAX || body[7] != ACK)
        return false;
    memcpy(&ack->timestamp, body, sizeof ack->timestamp);
    ack->timestamp = ntohl(ack->timestamp);
    ack->oseqno = body[4];
    ack->iseqno = body[5];
    return true;
}

/* The frame that waits longest, where an ACK is of it alone and of its first time; else NULL. */
static PyObject *acknowledged(PyObject *sequence, const struct ack *ack)
{
    PyObject *waiting = AT(sequence, ReliableSequence, _outstanding);
    long long ours = INT(sequence, ReliableSequence, oseqno);
    long long theirs = INT(sequence, ReliableSequence, iseqno);
    if (!PyList_CheckExact(waiting) || !PyList_GET_SIZE(waiting) || ours < 0 || theirs < 0
        || INT(sequence, ReliableSequence, _patience) != 1)
        return NULL;
    uint8_t ahead = (uint8_t)(ack->oseqno - theirs);
    uint8_t count = (uint8_t)(ack->iseqno - ours + PyList_GET_SIZE(waiting));
    PyObject *oldest = PyList_GET_ITEM(waiting, 0);
    if (count != 1 || (ahead > SEQUENCE_WINDOW && ahead < 256 - OUTSTANDING_MAX)
        || !IS(oldest, Outstanding) || AT(oldest, Outstanding, tag) != Py_None
        || AT(oldest, Outstanding, was_repeated) != Py_False)
        return NULL;
    PyObject *frame = AT(oldest, Outstanding, frame);
    bool echoes = IS(frame, FullFrame) && INT(frame, FullFrame, timestamp_ms) == ack->timestamp;
    return echoes ? oldest : NULL;
}

/* False: not plain, and nothing has changed. */
bool take_ack(PyObject *media, const uint8_t *datagram, Py_ssize_t octets, double now)
{
    PyObject *path = owner(AT(media, CallMedia, open_frame), VoicePath_class);
    PyObject *sequence = path ? AT(path, VoicePath, sequence) : Py_None;
    PyObject *statistics = path ? AT(path, VoicePath, statistics) : Py_None;
    struct ack ack;
    if (!IS(sequence, ReliableSequence) || !IS(statistics, ChannelStatistics)
        || !opens(path, datagram, octets, &ack))
        return false;
    PyObject *oldest = acknowledged(sequence, &ack), *rtt = AT(sequence, ReliableSequence, rtt_s);
    PyObject *sent_at = oldest ? AT(oldest, Outstanding, sent_at) : NULL;
    if (!oldest || !PyFloat_CheckExact(rtt) || !PyFloat_CheckExact(sent_at))
        return false;
    double before = PyFloat_AS_DOUBLE(rtt), sample = now - PyFloat_AS_DOUBLE(sent_at);
    if (PyList_SetSlice(AT(sequence, ReliableSequence, _outstanding), 0, 1, NULL) < 0) {
        PyErr_Clear();
        return false;
    }
    SET_FLOAT(sequence, ReliableSequence, rtt_s, before + RTT_GAIN * (sample - before));
    ADD(statistics, ChannelStatistics, received_encrypted, 1);
    return true;
}
