#include "sip_module.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>

#include <pjsip.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua2/endpoint.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include "delayed_answers.hpp"
#include "return_path.hpp"

#define THIS_FILE "sip_module.cpp"

namespace pj {

struct SipModule::Impl {
    pjsip_module       module;
    pjsip_module       callModule;  // sooner than the dialogs
    pjsip_module       pathModule;  // sooner than the transactions, which hand on answers
    SipModule         *owner;
    std::string        name;        // the modules' names point into these three
    std::string        callName;
    std::string        pathName;
    RequestLimiter     limiter;
    DelayedAnswers     delayed;
    unsigned long long failures = 0;
};

namespace {

// Between transactions, which know a retransmission, and dialogs.
constexpr int kCallModulePriority = PJSIP_MOD_PRIORITY_UA_PROXY_LAYER - 1;
constexpr int kPathModulePriority = PJSIP_MOD_PRIORITY_TSX_LAYER - 1;

// PJSIP's callbacks carry no pointer of ours, so the registered module is found here.
SipModule::Impl *registered;

double steadySeconds() {
    using namespace std::chrono;
    return duration<double>(steady_clock::now().time_since_epoch()).count();
}

pj_str_t borrow(const std::string &text) {
    return {const_cast<char *>(text.data()), static_cast<pj_ssize_t>(text.size())};
}

RequestLimiter::Octets octetsOf(const pj_sockaddr &address) {
    RequestLimiter::Octets octets{};
    const void *raw = pj_sockaddr_get_addr(&address);
    if (address.addr.sa_family == pj_AF_INET6()) {
        std::memcpy(octets.data(), raw, octets.size());
        return octets;
    }
    octets[10] = octets[11] = 0xff;
    std::memcpy(octets.data() + 12, raw, 4);
    return octets;
}

bool isOutOfDialog(pjsip_rx_data *rdata) {
    return rdata->msg_info.msg->line.req.method.id != PJSIP_ACK_METHOD &&
           pjsip_rdata_get_dlg(rdata) == nullptr && pjsip_rdata_get_tsx(rdata) == nullptr;
}

std::string hostPort(const pjsip_host_port &address) {
    const std::string host(address.host.ptr, static_cast<std::size_t>(address.host.slen));
    const bool isIpv6 = host.find(':') != std::string::npos;
    return (isIpv6 ? "[" + host + "]" : host) + ":" + std::to_string(address.port);
}

void describe(pjsip_rx_data *rdata, OnRxRequestParam &prm) {
    const pjsip_method &method = rdata->msg_info.msg->line.req.method;
    const pjsip_transport *transport = rdata->tp_info.transport;
    prm.rdata.fromPj(*rdata);
    prm.method.assign(method.name.ptr, static_cast<std::size_t>(method.name.slen));
    prm.transport = transport->type_name;
    prm.localAddress = hostPort(transport->local_name);
}

bool isOneLine(const std::string &text) {
    return text.find_first_of(std::string("\r\n\0", 3)) == std::string::npos;
}

bool isSendable(const OnRxRequestParam &answer) {
    const bool headersFit = std::all_of(
        answer.headers.begin(), answer.headers.end(), [](const SipHeader &header) {
            return !header.hName.empty() && isOneLine(header.hName) && isOneLine(header.hValue);
        });
    const bool bodyIsTyped =
        answer.body.empty() || answer.contentType.find('/') != std::string::npos;
    return answer.code >= 200 && answer.code <= 699 && isOneLine(answer.reason) &&
           isOneLine(answer.contentType) && headersFit && bodyIsTyped;
}

pjsip_msg_body *bodyOf(const OnRxRequestParam &answer, pj_pool_t *pool) {
    if (answer.body.empty()) return nullptr;
    const auto slash = answer.contentType.find('/');
    const std::string type = answer.contentType.substr(0, slash);
    const std::string subtype = answer.contentType.substr(slash + 1);
    const pj_str_t typeText = borrow(type), subtypeText = borrow(subtype);
    const pj_str_t bodyText = borrow(answer.body);
    return pjsip_msg_body_create(pool, &typeText, &subtypeText, &bodyText);
}

// Headers and body live in the request's pool, which PJSIP copies from before this returns.
pj_status_t send(pjsip_rx_data *rdata, const OnRxRequestParam &answer) {
    pj_pool_t *pool = rdata->tp_info.pool;
    pjsip_hdr headers;
    pj_list_init(&headers);
    for (const SipHeader &header : answer.headers) {
        const pj_str_t name = borrow(header.hName), value = borrow(header.hValue);
        pj_list_push_back(&headers, pjsip_generic_string_hdr_create(pool, &name, &value));
    }
    const pj_str_t reason = borrow(answer.reason);
    const pj_str_t *phrase = answer.reason.empty() ? nullptr : &reason;
    pjsip_msg_body *body = bodyOf(answer, pool);
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    if (answer.stateful)
        return pjsip_endpt_respond(endpoint, nullptr, rdata, answer.code, phrase, &headers, body,
                                   nullptr);
    return pjsip_endpt_respond_stateless(endpoint, rdata, answer.code, phrase, &headers, body);
}

void refuse(SipModule::Impl &module, pjsip_rx_data *rdata) {
    ++module.failures;
    pjsip_endpt_respond_stateless(pjsua_get_pjsip_endpt(), rdata,
                                  PJSIP_SC_INTERNAL_SERVER_ERROR, nullptr, nullptr, nullptr);
}

void answer(SipModule::Impl &module, pjsip_rx_data *rdata, const OnRxRequestParam &prm) {
    if (!isSendable(prm) || send(rdata, prm) != PJ_SUCCESS) refuse(module, rdata);
}

// What cannot wait any more is dropped: an answer at once would reward whoever asks too often.
void answerLater(SipModule::Impl &module, pjsip_rx_data *rdata, const OnRxRequestParam &prm) {
    SipModule::Impl *owner = &module;
    module.delayed.add(rdata, prm.delayMs, [owner, prm](pjsip_rx_data *copy) {
        answer(*owner, copy, prm);
    });
}

pj_bool_t ask(SipModule::Impl &module, pjsip_rx_data *rdata, pjsua_call_id callId) {
    OnRxRequestParam prm;
    describe(rdata, prm);
    prm.callId = callId;
    if (!module.owner->onRxRequest(prm)) return PJ_FALSE;
    if (prm.code == 0) return PJ_TRUE;
    if (prm.delayMs > 0 && !prm.stateful)
        answerLater(module, rdata, prm);
    else
        answer(module, rdata, prm);
    return PJ_TRUE;
}

// The border to C: no exception may cross it.
pj_bool_t onRequest(pjsip_rx_data *rdata) {
    SipModule::Impl *module = registered;
    if (module == nullptr || !isOutOfDialog(rdata)) return PJ_FALSE;
    try {
        if (!module->limiter.admit(octetsOf(rdata->pkt_info.src_addr), steadySeconds()))
            return PJ_TRUE;
        if (module->delayed.isWaiting(rdata)) return PJ_TRUE;
        return ask(*module, rdata, PJSUA_INVALID_ID);
    } catch (...) {
        refuse(*module, rdata);
        return PJ_TRUE;
    }
}

bool isForCalls(const pjsip_method &method) {
    static const pj_str_t info = {const_cast<char *>("INFO"), 4};
    static const pj_str_t refer = {const_cast<char *>("REFER"), 5};
    return method.id == PJSIP_OPTIONS_METHOD || pj_strcmp(&method.name, &info) == 0 ||
           pj_strcmp(&method.name, &refer) == 0;
}

// The dialog of a request, unless the request comes behind a later one (RFC 3261 section 12.2.2).
pjsip_dialog *dialogOf(pjsip_rx_data *rdata) {
    if (rdata->msg_info.to->tag.slen == 0) return nullptr;
    pjsip_dialog *dialog = pjsip_ua_find_dialog(
        &rdata->msg_info.cid->id, &rdata->msg_info.to->tag, &rdata->msg_info.from->tag, PJ_FALSE);
    return dialog != nullptr && rdata->msg_info.cseq->cseq > dialog->remote.cseq ? dialog : nullptr;
}

pj_bool_t onCallRequest(pjsip_rx_data *rdata) {
    SipModule::Impl *module = registered;
    if (module == nullptr || !isForCalls(rdata->msg_info.msg->line.req.method) ||
        pjsip_rdata_get_tsx(rdata) != nullptr)
        return PJ_FALSE;
    pjsip_dialog *dialog = dialogOf(rdata);
    if (dialog == nullptr || dialog->mod_data[pjsua_var.mod.id] == nullptr) return PJ_FALSE;
    const auto *call = static_cast<pjsua_call *>(dialog->mod_data[pjsua_var.mod.id]);
    const pj_int32_t sequence = rdata->msg_info.cseq->cseq;
    pj_bool_t isDone = PJ_TRUE;
    pjsip_dlg_inc_lock(dialog);     // the answer may end the call
    try {
        isDone = ask(*module, rdata, call->index);
    } catch (...) {
        refuse(*module, rdata);
    }
    if (isDone) dialog->remote.cseq = sequence;
    pjsip_dlg_dec_lock(dialog);
    return isDone;
}

pj_bool_t onMessage(pjsip_rx_data *rdata) {
    try {
        returnToSource(rdata);
    } catch (...) {
        if (registered != nullptr) ++registered->failures;
    }
    return PJ_FALSE;
}

pj_status_t onLeaving(pjsip_tx_data *tdata) {
    nameReachedAddress(tdata);
    return PJ_SUCCESS;
}

void onPingDone(void *token, pjsip_event *event) {
    SipModule::Impl *module = registered;
    if (module == nullptr) return;
    const int number = static_cast<int>(reinterpret_cast<std::intptr_t>(token));
    try {
        module->owner->onPinged(number, event->body.tsx_state.tsx->status_code);
    } catch (...) {
        ++module->failures;
    }
}

}  // namespace

SipModule::SipModule(const std::string &name, int priority) : impl_(new Impl) {
    pj_bzero(&impl_->module, sizeof(impl_->module));
    impl_->owner = this;
    impl_->name = name;
    impl_->module.name = borrow(impl_->name);
    impl_->module.id = -1;
    impl_->module.priority = priority;
    impl_->module.on_rx_request = &onRequest;
    pj_bzero(&impl_->callModule, sizeof(impl_->callModule));
    impl_->callName = name + "-calls";
    impl_->callModule.name = borrow(impl_->callName);
    impl_->callModule.id = -1;
    impl_->callModule.priority = kCallModulePriority;
    impl_->callModule.on_rx_request = &onCallRequest;
    pj_bzero(&impl_->pathModule, sizeof(impl_->pathModule));
    impl_->pathName = name + "-path";
    impl_->pathModule.name = borrow(impl_->pathName);
    impl_->pathModule.id = -1;
    impl_->pathModule.priority = kPathModulePriority;
    impl_->pathModule.on_rx_request = &onMessage;
    impl_->pathModule.on_rx_response = &onMessage;
    impl_->pathModule.on_tx_request = &onLeaving;
    impl_->pathModule.on_tx_response = &onLeaving;
}

SipModule::~SipModule() {
    unregisterModule();
    delete impl_;
}

void SipModule::registerModule() PJSUA2_THROW(Error) {
    if (registered != nullptr) PJSUA2_RAISE_ERROR(PJ_EEXISTS);
    if (pjsua_get_pjsip_endpt() == nullptr) PJSUA2_RAISE_ERROR(PJ_EINVALIDOP);
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    PJSUA2_CHECK_EXPR(pjsip_endpt_register_module(endpoint, &impl_->module));
    PJSUA2_CHECK_EXPR(pjsip_endpt_register_module(endpoint, &impl_->callModule));
    PJSUA2_CHECK_EXPR(pjsip_endpt_register_module(endpoint, &impl_->pathModule));
    registered = impl_;
}

void SipModule::unregisterModule() {
    if (registered != impl_) return;
    registered = nullptr;
    if (pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt()) {
        dropDelayed();
        pjsip_endpt_unregister_module(endpoint, &impl_->pathModule);
        pjsip_endpt_unregister_module(endpoint, &impl_->callModule);
        pjsip_endpt_unregister_module(endpoint, &impl_->module);
    }
    impl_->module.id = impl_->callModule.id = impl_->pathModule.id = -1;
}

bool SipModule::onRxRequest(OnRxRequestParam &) { return false; }

void SipModule::ping(const std::string &target, const std::string &from, int token)
    PJSUA2_THROW(Error) {
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    const pj_str_t to = borrow(target), sender = borrow(from);
    pjsip_tx_data *request;
    PJSUA2_CHECK_EXPR(pjsip_endpt_create_request(endpoint, pjsip_get_options_method(), &to, &sender,
                                                 &to, nullptr, nullptr, -1, nullptr, &request));
    void *number = reinterpret_cast<void *>(static_cast<std::intptr_t>(token));
    PJSUA2_CHECK_EXPR(pjsip_endpt_send_request(endpoint, request, -1, number, &onPingDone));
}

void SipModule::onPinged(int, int) {}

void SipModule::dropDelayed() { impl_->delayed.clear(); }

void SipModule::setLimits(const RequestLimits &limits) PJSUA2_THROW(Error) {
    impl_->limiter.setLimits(limits);
}

void SipModule::exempt(const std::string &network) PJSUA2_THROW(Error) {
    impl_->limiter.exempt(network);
}

void SipModule::clearExempt() { impl_->limiter.clearExempt(); }

bool SipModule::trust(const std::string &address) PJSUA2_THROW(Error) {
    return impl_->limiter.trust(address);
}

void SipModule::distrust(const std::string &address) PJSUA2_THROW(Error) {
    impl_->limiter.distrust(address);
}

RequestCounters SipModule::counters() const { return impl_->limiter.counters(); }

unsigned long long SipModule::failures() const { return impl_->failures; }

int SipModule::msecToNextTimer() {
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    pj_time_val due, now;
    if (endpoint == nullptr ||
        pj_timer_heap_earliest_time(pjsip_endpt_get_timer_heap(endpoint), &due) != PJ_SUCCESS)
        return -1;
    pj_gettickcount(&now);
    PJ_TIME_VAL_SUB(due, now);
    const long milliseconds = PJ_TIME_VAL_MSEC(due);
    return static_cast<int>(std::clamp<long>(milliseconds, 0, std::numeric_limits<int>::max()));
}

}  // namespace pj
