#include "return_path.hpp"

#include <unordered_set>

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

namespace pj {

namespace {

// A parameter of the Contact as kept in the dialog, never sent: the port that the phone named.
const pj_str_t kNamedPort = {const_cast<char *>("named-port"), 10};

pjsip_sip_uri *sipUri(void *uri) {
    if (uri == nullptr || !(PJSIP_URI_SCHEME_IS_SIP(uri) || PJSIP_URI_SCHEME_IS_SIPS(uri)))
        return nullptr;
    return static_cast<pjsip_sip_uri *>(pjsip_uri_get_uri(uri));
}

bool isStream(const pjsip_transport *transport) {
    return (transport->flag & PJSIP_TRANSPORT_RELIABLE) != 0;
}

// The first answers of a call that we make have a tag that its dialog does not know yet.
const pjsip_dialog *dialogAsking(const pjsip_rx_data *rdata) {
    const pj_str_t none = {nullptr, 0};
    const auto &info = rdata->msg_info;
    const pjsip_dialog *dialog =
        pjsip_ua_find_dialog(&info.cid->id, &info.from->tag, &info.to->tag, PJ_FALSE);
    return dialog ? dialog : pjsip_ua_find_dialog(&info.cid->id, &info.from->tag, &none, PJ_FALSE);
}

bool isFromWhereWeAsked(const pjsip_rx_data *rdata) {
    const pjsip_dialog *dialog = dialogAsking(rdata);
    if (dialog == nullptr || !pj_list_empty(&dialog->route_set)) return false;
    const pjsip_sip_uri *target = sipUri(dialog->target);
    return target != nullptr && pj_stricmp2(&target->host, rdata->pkt_info.src_name) == 0;
}

bool isDirect(const pjsip_rx_data *rdata) {
    const auto &info = rdata->msg_info;
    if (info.record_route != nullptr) return false;
    if (info.msg->type == PJSIP_RESPONSE_MSG) return isFromWhereWeAsked(rdata);
    return pjsip_msg_find_hdr(info.msg, PJSIP_H_VIA, info.via->next) == nullptr;
}

bool asksForRport(const pjsip_rx_data *rdata) {
    return rdata->msg_info.msg->type == PJSIP_REQUEST_MSG &&
           rdata->msg_info.via->rport_param >= 0;
}

void keepNamedPort(pjsip_contact_hdr *contact, int port, pj_pool_t *pool) {
    auto *kept = PJ_POOL_ZALLOC_T(pool, pjsip_param);
    char digits[16];
    pj_utoa(static_cast<unsigned long>(port), digits);
    kept->name = kNamedPort;
    pj_strdup2(pool, &kept->value, digits);
    pj_list_insert_after(&contact->other_param, kept);
}

bool returnsBy(const pjsip_sip_uri *uri, const pjsip_transport *transport) {
    const auto type = static_cast<pjsip_transport_type_e>(transport->key.type);
    return uri->port == transport->remote_name.port &&
           pj_stricmp(&uri->host, &transport->remote_name.host) == 0 &&
           pj_stricmp2(&uri->transport_param, pjsip_transport_get_type_name(type)) == 0;
}

void leaveConnection(const pjsip_transport *transport) {
    for (unsigned i = 0; i < pjsua_var.ua_cfg.max_calls; ++i) {
        const pjsip_inv_session *session = pjsua_var.calls[i].inv;
        pjsip_contact_hdr *contact = session ? session->dlg->remote.contact : nullptr;
        const pjsip_param *kept =
            contact ? pjsip_param_find(&contact->other_param, &kNamedPort) : nullptr;
        pjsip_sip_uri *uri = kept ? sipUri(contact->uri) : nullptr;
        if (uri != nullptr && returnsBy(uri, transport))
            uri->port = static_cast<int>(pj_strtoul(&kept->value));
    }
}

// The connections whose end onConnection() is told; each is told once, however many its calls.
std::unordered_set<const pjsip_transport *> watched;

void onConnection(pjsip_transport *transport, pjsip_transport_state state,
                  const pjsip_transport_state_info *) {
    if (state == PJSIP_TP_STATE_DESTROY) watched.erase(transport);
    if (state == PJSIP_TP_STATE_DESTROY || state == PJSIP_TP_STATE_DISCONNECTED)
        leaveConnection(transport);
}

void watch(pjsip_transport *transport) {
    pjsip_tp_state_listener_key *key;
    if (watched.insert(transport).second &&
        pjsip_transport_add_state_listener(transport, &onConnection, nullptr, &key) != PJ_SUCCESS)
        watched.erase(transport);
}

void rewrite(pjsip_contact_hdr *contact, pjsip_sip_uri *uri, const pjsip_rx_data *rdata) {
    const pjsip_transport *transport = rdata->tp_info.transport;
    const auto type = static_cast<pjsip_transport_type_e>(transport->key.type);
    uri->maddr_param.slen = 0;
    uri->ttl_param = -1;
    uri->transport_param.slen = 0;
    if (isStream(transport)) {
        const int port = uri->port ? uri->port : pjsip_transport_get_default_port_for_type(type);
        watch(rdata->tp_info.transport);
        keepNamedPort(contact, port, rdata->tp_info.pool);
        uri->transport_param = pj_str(const_cast<char *>(pjsip_transport_get_type_name(type)));
    } else if (!asksForRport(rdata) && pj_stricmp2(&uri->host, rdata->pkt_info.src_name) == 0) {
        return;
    }
    pj_strdup2(rdata->tp_info.pool, &uri->host, rdata->pkt_info.src_name);
    uri->port = rdata->pkt_info.src_port;
}

}  // namespace

void returnToSource(pjsip_rx_data *rdata) {
    pjsip_msg *msg = rdata->msg_info.msg;
    if (msg->type == PJSIP_REQUEST_MSG) rdata->msg_info.via->maddr_param.slen = 0;
    if (!pjsip_method_creates_dialog(&rdata->msg_info.cseq->method)) return;
    auto *contact =
        static_cast<pjsip_contact_hdr *>(pjsip_msg_find_hdr(msg, PJSIP_H_CONTACT, nullptr));
    pjsip_sip_uri *uri = contact ? sipUri(contact->uri) : nullptr;
    if (uri != nullptr && isDirect(rdata)) rewrite(contact, uri, rdata);
}

void nameReachedAddress(pjsip_tx_data *tdata) {
    const pjsip_transport *transport = tdata->tp_info.transport;
    const auto *cseq =
        static_cast<pjsip_cseq_hdr *>(pjsip_msg_find_hdr(tdata->msg, PJSIP_H_CSEQ, nullptr));
    if (transport == nullptr || !isStream(transport) ||
        transport->dir != PJSIP_TP_DIR_INCOMING || cseq == nullptr ||
        !pjsip_method_creates_dialog(&cseq->method))
        return;
    auto *contact = static_cast<pjsip_contact_hdr *>(
        pjsip_msg_find_hdr(tdata->msg, PJSIP_H_CONTACT, nullptr));
    pjsip_sip_uri *uri = contact ? sipUri(contact->uri) : nullptr;
    char reached[PJ_INET6_ADDRSTRLEN];
    if (uri == nullptr ||
        pj_sockaddr_print(&transport->local_addr, reached, sizeof(reached), 0) == nullptr ||
        pj_strcmp2(&uri->host, reached) == 0)
        return;
    pj_strdup2(tdata->pool, &uri->host, reached);
}

}  // namespace pj
