// An offer is negotiated when it is answered. PJSIP would do so twice before, with answers that it
// makes for that; what a call offers is judged by bridge/sip/sdp.py. The linker puts this in the
// place of what verifies (WRAPPED in recipe.py).

#include <pjsip_ua.h>

extern "C" pj_status_t __real_pjsip_inv_verify_request3(
    pjsip_rx_data *, pj_pool_t *, unsigned *, const pjmedia_sdp_session *,
    const pjmedia_sdp_session *, pjsip_dialog *, pjsip_endpoint *, pjsip_tx_data **);

extern "C" pj_status_t __wrap_pjsip_inv_verify_request3(
    pjsip_rx_data *request, pj_pool_t *pool, unsigned *options, const pjmedia_sdp_session *offer,
    const pjmedia_sdp_session *answer, pjsip_dialog *dialog, pjsip_endpoint *endpoint,
    pjsip_tx_data **response) {
    if (offer != nullptr && answer != nullptr) {
        // The headers were verified when there was no answer yet.
        if (response != nullptr) *response = nullptr;
        return PJ_SUCCESS;
    }
    return __real_pjsip_inv_verify_request3(
        request, pool, options, offer, answer, dialog, endpoint, response);
}
