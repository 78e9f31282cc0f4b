// Calls without PJSIP's streams. Each would be given jitter buffer, RTCP session and a port at the
// mixer, though no packet ever comes to PJSIP, nor is to leave it. The linker puts this in the place
// of what makes them (WRAPPED in recipe.py).

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

extern "C" pj_status_t __wrap_pjsua_aud_channel_update(
    pjsua_call_media *, pj_pool_t *, pjmedia_stream_info *, const pjmedia_sdp_session *,
    const pjmedia_sdp_session *) {
    return PJ_SUCCESS;
}
