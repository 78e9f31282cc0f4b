/* AES-128-CBC with an IV of zero, as bridge/iax2/cipher.py says; no chain from frame to frame. */
#include "relay.h"

#include <sys/random.h>

enum { RESERVE = 4096 };

static const char CONTEXT[] = "siax_relay.context";

static void free_context(PyObject *capsule)
{
    EVP_CIPHER_CTX_free(PyCapsule_GetPointer(capsule, CONTEXT));
}

/* The context that an object keeps in its slot `compiled`; NULL where none can be made. */
EVP_CIPHER_CTX *context(PyObject *key, PyObject **kept, int encipher)
{
    if (*kept && PyCapsule_IsValid(*kept, CONTEXT))
        return PyCapsule_GetPointer(*kept, CONTEXT);
    if (!key || !PyBytes_CheckExact(key) || PyBytes_GET_SIZE(key) != BLOCK)
        return NULL;
    EVP_CIPHER_CTX *made = EVP_CIPHER_CTX_new();
    const uint8_t *octets = (const uint8_t *)PyBytes_AS_STRING(key);
    PyObject *capsule = NULL;
    if (made && EVP_CipherInit_ex(made, EVP_aes_128_cbc(), NULL, octets, NULL, encipher) == 1)
        capsule = PyCapsule_New(made, CONTEXT, free_context);
    if (!capsule) {
        PyErr_Clear();
        EVP_CIPHER_CTX_free(made);
        return NULL;
    }
    EVP_CIPHER_CTX_set_padding(made, 0);
    set(kept, capsule);
    return made;
}

bool cipher(EVP_CIPHER_CTX *context, uint8_t *to, const uint8_t *from, int octets)
{
    static const uint8_t zero[BLOCK];
    int done = 0;
    return EVP_CipherInit_ex(context, NULL, NULL, NULL, zero, -1) == 1
        && EVP_CipherUpdate(context, to, &done, from, octets) == 1 && done == octets;
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
