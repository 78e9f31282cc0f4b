// How long the transaction of an INVITE stays behind the ACK of its 200, with the answer and all that
// hangs on it: 20 kB. Who has sent the ACK sends the INVITE no more, so what is to be waited for is
// only what is still under way: T4, as behind the ACK of a refusal (RFC 3261 section 17.2.1, timer
// I). PJSIP waits for 64 * T1, as RFC 6026 does where no ACK is seen. The linker puts this in the
// place of what ends it (WRAPPED in recipe.py).

#include <algorithm>

#include <pjsip.h>

extern "C" pj_status_t __real_pjsip_tsx_terminate_async2(
    pjsip_transaction *, int, const pj_str_t *, unsigned);

extern "C" pj_status_t __wrap_pjsip_tsx_terminate_async2(
    pjsip_transaction *transaction, int status, const pj_str_t *reason, unsigned delay_ms) {
    return __real_pjsip_tsx_terminate_async2(
        transaction, status, reason, std::min(delay_ms, pjsip_cfg()->tsx.t4));
}
