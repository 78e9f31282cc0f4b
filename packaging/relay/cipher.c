/* AES-128-CBC with one context for all frames of a key, as bridge/iax2/cipher.py explains it. */
#include "relay.h"

#include <sys/random.h>

enum { RESERVE = 4096 };

static const uint8_t zero[BLOCK];

static void free_context(struct context *self)
{
    EVP_CIPHER_CTX_free(self->cipher);
    PyObject_Free(self);
}

PyTypeObject ContextType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "siax_relay.Context",
    .tp_doc = "One direction of a call under one key.",
    .tp_basicsize = sizeof(struct context),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)free_context,
};

/* The context that an object keeps in its slot `compiled`; NULL where none can be made. */
struct context *context(PyObject *key, PyObject **kept, int encipher)
{
    if (*kept && Py_IS_TYPE(*kept, &ContextType))
        return (struct context *)*kept;
    if (!key || !PyBytes_CheckExact(key) || PyBytes_GET_SIZE(key) != BLOCK)
        return NULL;
    struct context *made = PyObject_New(struct context, &ContextType);
    const uint8_t *octets = (const uint8_t *)PyBytes_AS_STRING(key);
    if (!made) {
        PyErr_Clear();
        return NULL;
    }
    made->chain = 0;
    made->cipher = EVP_CIPHER_CTX_new();
    if (!made->cipher
        || EVP_CipherInit_ex(made->cipher, EVP_aes_128_cbc(), NULL, octets, zero, encipher) != 1) {
        Py_DECREF(made);
        return NULL;
    }
    EVP_CIPHER_CTX_set_padding(made->cipher, 0);
    set(kept, (PyObject *)made);
    return made;
}

/* Whole blocks; a context that fails begins anew, so that it stays in step. */
static bool run(struct context *context, uint8_t *to, const uint8_t *from, int octets)
{
    int done = 0;
    if (EVP_CipherUpdate(context->cipher, to, &done, from, octets) == 1 && done == octets)
        return true;
    EVP_CipherInit_ex(context->cipher, NULL, NULL, NULL, zero, -1);
    context->chain = 0;
    return false;
}

bool encipher(struct context *context, uint8_t *to, uint8_t *plain, int octets)
{
    plain[BLOCK - 1] ^= context->chain;
    bool is_done = run(context, to, plain, octets);
    if (is_done)
        context->chain = to[octets - 1];
    return is_done;
}

bool decipher(struct context *context, uint8_t *plain, const uint8_t *from, int octets)
{
    bool is_done = run(context, plain, from, octets);
    if (is_done) {
        plain[BLOCK - 1] ^= context->chain;
        context->chain = from[octets - 1];
    }
    return is_done;
}

/* Random octets for padding, fetched many at a time; none is given twice. */
bool draw(uint8_t *to, size_t octets)
{
    static uint8_t reserve[RESERVE];
    static size_t left = 0;
    if (left < octets) {
        if (getrandom(reserve, RESERVE, 0) != RESERVE)
            return false;
        left = RESERVE;
    }
    left -= octets;
    memcpy(to, reserve + left, octets);
    return true;
}
