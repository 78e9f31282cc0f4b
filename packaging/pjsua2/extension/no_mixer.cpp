// Calls without PJSIP's mixer. It would give each call a port there, 11 kB, though no audio ever
// comes to PJSIP. The linker puts this in the place of what does so (WRAPPED in recipe.py).

#include <pjmedia.h>
#include <pjsua-lib/pjsua.h>

extern "C" pj_status_t __wrap_pjmedia_conf_add_port(
    pjmedia_conf *, pj_pool_t *, pjmedia_port *, const pj_str_t *, unsigned *slot) {
    *slot = static_cast<unsigned>(PJSUA_INVALID_ID);
    return PJ_SUCCESS;
}
