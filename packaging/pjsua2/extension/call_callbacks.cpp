#include "call_callbacks.hpp"

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

namespace pj {
namespace {

pjsua_callback told;    // pjsua2's own

const pjsip_inv_session *sessionOf(pjsua_call_id callId) { return pjsua_var.calls[callId].inv; }

// Our own answers change the state of a call that came in: we know of them.
bool isNews(const pjsip_inv_session *session) {
    return session == nullptr || session->role == PJSIP_ROLE_UAC ||
           session->state >= PJSIP_INV_STATE_CONFIRMED;
}

bool mayOffer(const pjsip_method &method) {
    static const pj_str_t update = {const_cast<char *>("UPDATE"), 6};
    return method.id == PJSIP_INVITE_METHOD || pj_strcmp(&method.name, &update) == 0;
}

// An answer to an offer of ours comes with anything but INVITE and UPDATE, which offer themselves.
bool mayAnswer(const pjsip_event &event) {
    if (event.type != PJSIP_EVENT_TSX_STATE || event.body.tsx_state.type != PJSIP_EVENT_RX_MSG)
        return false;
    const pjsip_rx_data *rdata = event.body.tsx_state.src.rdata;
    const pjsip_msg *msg = rdata->msg_info.msg;
    if (msg->body == nullptr) return false;
    return msg->type == PJSIP_RESPONSE_MSG || !mayOffer(msg->line.req.method);
}

void onState(pjsua_call_id callId, pjsip_event *event) {
    if (isNews(sessionOf(callId))) told.on_call_state(callId, event);
}

void onTransaction(pjsua_call_id callId, pjsip_transaction *transaction, pjsip_event *event) {
    if (mayAnswer(*event)) told.on_call_tsx_state(callId, transaction, event);
}

void onMedia(pjsua_call_id callId) {
    const pjsip_inv_session *session = sessionOf(callId);
    if (session == nullptr || session->neg == nullptr ||
        pjmedia_sdp_neg_was_answer_remote(session->neg))
        told.on_call_media_state(callId);
}

}  // namespace

void CallCallbacks::spare() {
    pjsua_callback &used = pjsua_var.ua_cfg.cb;
    if (used.on_call_state == &onState) return;
    told = used;
    used.on_call_state = &onState;
    used.on_call_tsx_state = &onTransaction;
    used.on_call_media_state = &onMedia;
    // Not on_create_media_transport: there pjsua2 takes calls that come in.
    used.on_call_media_transport_state = nullptr;
    used.on_call_media_event = nullptr;
    used.on_media_event = nullptr;
    used.on_conf_op_completed = nullptr;
}

std::string CallCallbacks::remoteDescription(int callId) {
    if (callId < 0 || callId >= static_cast<int>(pjsua_var.ua_cfg.max_calls)) return {};
    const pjsip_inv_session *session = sessionOf(callId);
    const pjmedia_sdp_session *description = nullptr;
    if (session == nullptr || session->neg == nullptr ||
        pjmedia_sdp_neg_get_active_remote(session->neg, &description) != PJ_SUCCESS)
        return {};
    char text[PJSIP_MAX_PKT_LEN];
    const int octets = pjmedia_sdp_print(description, text, sizeof(text));
    return octets < 0 ? std::string() : std::string(text, static_cast<std::size_t>(octets));
}

AudioCallOpParam::AudioCallOpParam(int status, const std::string &wording, const std::string &text)
    : CallOpParam(true) {
    opt.audioCount = 1;
    opt.videoCount = opt.textCount = 0;
    statusCode = static_cast<pjsip_status_code>(status);
    reason = wording;
    sdp.wholeSdp = text;
}

}  // namespace pj
