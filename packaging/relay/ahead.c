/* Memory asked for ahead of its use.
 *
 * What a packet touches is strewn over some thirty lines of memory, most of them found through
 * another. With hundreds of calls none of them is in a cache when a call's turn comes, and its
 * packet would wait for one after the other, longer than its instructions take. So the next few
 * calls are walked together, step by step: each step asks for what the step before has brought, of
 * all of them at once. Nothing is changed here, and what is left out costs time alone.
 */
#include "relay.h"

enum {
    LINE = 64,
    VOICE = 192,  /* octets of a frame of G.711 as Python's object */
    CIPHER = 192, /* of an EVP_CIPHER_CTX, which OpenSSL does not tell */
};

typedef void step(PyObject *media);

/* The empty instruction is an effect: a function without any is one that compilers leave out. */
static inline void fetch(const void *at, size_t octets)
{
    const char *line = (const char *)((uintptr_t)at & ~(uintptr_t)(LINE - 1));
    for (; line < (const char *)at + octets; line += LINE) {
        __builtin_prefetch(line);
        __asm__ volatile("");
    }
}

static void walk(PyObject *const *calls, int count, step *const *steps)
{
    for (int i = 0; i < count; i++)
        fetch(calls[i], (size_t)CallMedia_class->tp_basicsize);
    for (; *steps; steps++)
        for (int i = 0; i < count; i++)
            if (calls[i] && IS(calls[i], CallMedia))
                (*steps)(calls[i]);
}

/* A slot's object: a number or the head of another; a bound method; all of one of our classes. */
#define FETCH(object, class, name) fetch(AT(object, class, name), sizeof(PyFloatObject))
#define FETCH_METHOD(object, class, name) fetch(AT(object, class, name), sizeof(PyMethodObject))
#define FETCH_WHOLE(object, class, name, of) \
    fetch(AT(object, class, name), (size_t)of##_class->tp_basicsize)

/* The context that a call's Sealer or Opener keeps, by their slots; NULL where there is none. */
static PyObject *kept_by(PyObject *media, Py_ssize_t user, PyTypeObject *class, Py_ssize_t compiled)
{
    PyObject *path = AT(media, CallMedia, path);
    PyObject *found = IS(path, VoicePath) ? *(PyObject **)((char *)path + user) : NULL;
    return found && Py_IS_TYPE(found, class) ? *(PyObject **)((char *)found + compiled) : NULL;
}

#define SEALING(media) kept_by(media, VoicePath_sealer, Sealer_class, Sealer_compiled)
#define OPENING(media) kept_by(media, VoicePath_opener, Opener_class, Opener_compiled)

static void fetch_cipher(PyObject *kept)
{
    if (kept && Py_IS_TYPE(kept, &ContextType))
        fetch(((struct context *)kept)->cipher, CIPHER);
}

/* From the phones: steps 1 to 4. */

static void phone_parts(PyObject *media)
{
    FETCH_WHOLE(media, CallMedia, latch, SymmetricLatch);
    FETCH_WHOLE(media, CallMedia, counters, MediaCounters);
    FETCH_WHOLE(media, CallMedia, buffer, ReorderBuffer);
    FETCH_METHOD(media, CallMedia, count);
    FETCH_METHOD(media, CallMedia, receive);
    FETCH(media, CallMedia, ssrc);
}

static void phone_details(PyObject *media)
{
    PyObject *latch = AT(media, CallMedia, latch), *counters = AT(media, CallMedia, counters);
    PyObject *buffer = AT(media, CallMedia, buffer), *count = AT(media, CallMedia, count);
    if (IS(latch, SymmetricLatch))
        fetch(AT(latch, SymmetricLatch, compiled), sizeof(struct phone));
    if (IS(counters, MediaCounters))
        FETCH(counters, MediaCounters, received);
    if (IS(buffer, ReorderBuffer)) {
        fetch(AT(buffer, ReorderBuffer, _frames), sizeof(PyListObject));
        FETCH(buffer, ReorderBuffer, _head);
    }
    if (PyMethod_Check(count))
        fetch(PyMethod_GET_SELF(count), (size_t)ReceptionStatistics_class->tp_basicsize);
}

/* Those that wait in a plain buffer, or NULL. */
static PyObject *frames_of(PyObject *media)
{
    PyObject *buffer = AT(media, CallMedia, buffer);
    PyObject *frames = IS(buffer, ReorderBuffer) ? AT(buffer, ReorderBuffer, _frames) : NULL;
    return frames && PyList_CheckExact(frames) && PyList_GET_SIZE(frames) == RING ? frames : NULL;
}

static void fetch_places(PyObject *media)
{
    PyObject *frames = frames_of(media);
    if (frames)
        fetch(&PyList_GET_ITEM(frames, 0), RING * sizeof(PyObject *));
}

static void phone_numbers(PyObject *media)
{
    PyObject *statistics = owner(AT(media, CallMedia, count), ReceptionStatistics_class);
    fetch_places(media);
    if (!statistics)
        return;
    FETCH(statistics, ReceptionStatistics, received);
    FETCH(statistics, ReceptionStatistics, highest_sequence);
    FETCH(statistics, ReceptionStatistics, _jitter_16);
    FETCH(statistics, ReceptionStatistics, _transit);
}

/* To the link: steps 5 and 6. */

static void slot_parts(PyObject *media)
{
    FETCH_WHOLE(media, CallMedia, buffer, ReorderBuffer);
    FETCH_WHOLE(media, CallMedia, path, VoicePath);
    FETCH_METHOD(media, CallMedia, pull);
    FETCH_METHOD(media, CallMedia, seal);
    FETCH(media, CallMedia, first_slot);
    FETCH(media, CallMedia, origin_ms);
}

static void slot_details(PyObject *media)
{
    PyObject *buffer = AT(media, CallMedia, buffer), *path = AT(media, CallMedia, path);
    if (IS(buffer, ReorderBuffer)) {
        fetch(AT(buffer, ReorderBuffer, _frames), sizeof(PyListObject));
        FETCH(buffer, ReorderBuffer, _head);
        FETCH(buffer, ReorderBuffer, _deep_pulls);
        FETCH(buffer, ReorderBuffer, _patience);
    }
    if (IS(path, VoicePath)) {
        FETCH_WHOLE(path, VoicePath, sealer, Sealer);
        FETCH(path, VoicePath, sent);
        FETCH(path, VoicePath, _clear_header);
        FETCH(path, VoicePath, _full_frame_period);
    }
}

static void slot_key(PyObject *media)
{
    fetch_places(media);
    fetch(SEALING(media), sizeof(struct context));
}

static void slot_cipher(PyObject *media)
{
    PyObject *frames = frames_of(media);
    fetch_cipher(SEALING(media));
    if (frames) {
        long long head = INT(AT(media, CallMedia, buffer), ReorderBuffer, _head);
        fetch(PyList_GET_ITEM(frames, head & (RING - 1)), VOICE);
    }
}

/* From the link: steps A to E. */

static void link_parts(PyObject *media)
{
    FETCH_WHOLE(media, CallMedia, latch, SymmetricLatch);
    FETCH_WHOLE(media, CallMedia, counters, MediaCounters);
    FETCH_WHOLE(media, CallMedia, stream, PhoneStream);
    FETCH_WHOLE(media, CallMedia, path, VoicePath);
    FETCH_METHOD(media, CallMedia, open_frame);
    FETCH_METHOD(media, CallMedia, send_rtp);
    FETCH(media, CallMedia, descriptor);
}

static void link_details(PyObject *media)
{
    PyObject *latch = AT(media, CallMedia, latch), *counters = AT(media, CallMedia, counters);
    PyObject *stream = AT(media, CallMedia, stream), *path = AT(media, CallMedia, path);
    if (IS(latch, SymmetricLatch))
        fetch(AT(latch, SymmetricLatch, compiled), sizeof(struct phone));
    if (IS(counters, MediaCounters)) {
        FETCH(counters, MediaCounters, sent);
        FETCH(counters, MediaCounters, sent_octets);
    }
    if (IS(stream, PhoneStream)) {
        FETCH(stream, PhoneStream, ssrc);
        FETCH(stream, PhoneStream, timestamp);
        FETCH(stream, PhoneStream, _expected_ms);
        FETCH(stream, PhoneStream, _offset_samples);
        FETCH(stream, PhoneStream, _sequence);
    }
    if (IS(path, VoicePath)) {
        FETCH_WHOLE(path, VoicePath, opener, Opener);
        FETCH_WHOLE(path, VoicePath, _clock, ReceiveClock);
        FETCH(path, VoicePath, received);
        FETCH(path, VoicePath, jitter_ms);
        FETCH(path, VoicePath, last_timestamp_ms);
    }
}

static void link_key(PyObject *media)
{
    PyObject *path = AT(media, CallMedia, path);
    PyObject *clock = IS(path, VoicePath) ? AT(path, VoicePath, _clock) : NULL;
    fetch(OPENING(media), sizeof(struct context));
    if (clock && IS(clock, ReceiveClock))
        FETCH(clock, ReceiveClock, _offset_ms);
}

static void link_cipher(PyObject *media)
{
    fetch_cipher(OPENING(media));
}

/* From the link: ACKs. */

static void ack_parts(PyObject *media)
{
    FETCH_WHOLE(media, CallMedia, path, VoicePath);
    FETCH_METHOD(media, CallMedia, open_frame);
}

static void ack_details(PyObject *media)
{
    PyObject *path = AT(media, CallMedia, path);
    if (!IS(path, VoicePath))
        return;
    FETCH_WHOLE(path, VoicePath, opener, Opener);
    FETCH_WHOLE(path, VoicePath, sequence, ReliableSequence);
    FETCH_WHOLE(path, VoicePath, statistics, ChannelStatistics);
    FETCH(path, VoicePath, _clear_header);
}

/* The sequence of a call's full frames, or NULL. */
static PyObject *sequence_of(PyObject *media)
{
    PyObject *path = AT(media, CallMedia, path);
    PyObject *sequence = IS(path, VoicePath) ? AT(path, VoicePath, sequence) : Py_None;
    return IS(sequence, ReliableSequence) ? sequence : NULL;
}

static void ack_key(PyObject *media)
{
    PyObject *sequence = sequence_of(media);
    fetch(OPENING(media), sizeof(struct context));
    if (!sequence)
        return;
    PyObject *statistics = AT(AT(media, CallMedia, path), VoicePath, statistics);
    fetch(AT(sequence, ReliableSequence, _outstanding), sizeof(PyListObject));
    FETCH(sequence, ReliableSequence, rtt_s);
    if (IS(statistics, ChannelStatistics))
        FETCH(statistics, ChannelStatistics, received_encrypted);
}

static void ack_list(PyObject *media)
{
    PyObject *sequence = sequence_of(media);
    fetch_cipher(OPENING(media));
    if (sequence && PyList_CheckExact(AT(sequence, ReliableSequence, _outstanding)))
        fetch(((PyListObject *)AT(sequence, ReliableSequence, _outstanding))->ob_item, 1);
}

/* The frame that waits longest for its ACK, or NULL. */
static PyObject *oldest_of(PyObject *media)
{
    PyObject *sequence = sequence_of(media);
    PyObject *waiting = sequence ? AT(sequence, ReliableSequence, _outstanding) : NULL;
    bool waits = waiting && PyList_CheckExact(waiting) && PyList_GET_SIZE(waiting);
    return waits ? PyList_GET_ITEM(waiting, 0) : NULL;
}

static void ack_oldest(PyObject *media)
{
    PyObject *oldest = oldest_of(media);
    if (oldest)
        fetch(oldest, (size_t)Outstanding_class->tp_basicsize);
}

static void ack_frame(PyObject *media)
{
    PyObject *oldest = oldest_of(media);
    if (oldest && IS(oldest, Outstanding)) {
        FETCH_WHOLE(oldest, Outstanding, frame, FullFrame);
        FETCH(oldest, Outstanding, sent_at);
    }
}

void ahead_of_phones(PyObject *const *calls, int count)
{
    static step *const steps[] = {phone_parts, phone_details, phone_numbers, NULL};
    walk(calls, count, steps);
}

void ahead_of_slot(PyObject *const *calls, int count)
{
    static step *const steps[] = {slot_parts, slot_details, slot_key, slot_cipher, NULL};
    walk(calls, count, steps);
}

void ahead_of_link(PyObject *const *calls, int count)
{
    static step *const steps[] = {link_parts, link_details, link_key, link_cipher, NULL};
    walk(calls, count, steps);
}

void ahead_of_acks(PyObject *const *calls, int count)
{
    static step *const steps[] = {ack_parts, ack_details, ack_key, ack_list, ack_oldest,
                                  ack_frame, NULL};
    walk(calls, count, steps);
}
