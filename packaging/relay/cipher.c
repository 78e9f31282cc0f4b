/* AES-128-CBC with one context for all frames of a key, as bridge/iax2/cipher.py explains it. */
#include "relay.h"

#include <sys/random.h>

enum { RESERVE = 4096 };

static const char CONTEXT[] = "siax_relay.context";
static const uint8_t zero[BLOCK];

static void free_context(PyObject *capsule)
{
    struct context *made = PyCapsule_GetPointer(capsule, CONTEXT);
    EVP_CIPHER_CTX_free(made->cipher);
    PyMem_Free(made);
}

/* The context that an object keeps in its slot `compiled`; NULL where none can be made. */
struct context *context(PyObject *key, PyObject **kept, int encipher)
{
    if (*kept && PyCapsule_IsValid(*kept, CONTEXT))
        return PyCapsule_GetPointer(*kept, CONTEXT);
    if (!key || !PyBytes_CheckExact(key) || PyBytes_GET_SIZE(key) != BLOCK)
        return NULL;
    struct context *made = PyMem_Calloc(1, sizeof *made);
    EVP_CIPHER_CTX *keyed = EVP_CIPHER_CTX_new();
    const uint8_t *octets = (const uint8_t *)PyBytes_AS_STRING(key);
    PyObject *capsule = NULL;
    if (made && keyed
        && EVP_CipherInit_ex(keyed, EVP_aes_128_cbc(), NULL, octets, zero, encipher) == 1)
        capsule = PyCapsule_New(made, CONTEXT, free_context);
    if (!capsule) {
        PyErr_Clear();
        EVP_CIPHER_CTX_free(keyed);
        PyMem_Free(made);
        return NULL;
    }
    EVP_CIPHER_CTX_set_padding(keyed, 0);
    made->cipher = keyed;
    set(kept, capsule);
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
