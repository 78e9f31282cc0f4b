#include "delayed_answers.hpp"

#include <utility>

#include <pjsua-lib/pjsua.h>

#define THIS_FILE "delayed_answers.cpp"

namespace pj {
namespace {

std::string keyOf(pjsip_rx_data *rdata) {
    pj_str_t key;
    const pjsip_method &method = rdata->msg_info.cseq->method;
    if (pjsip_tsx_create_key(rdata->tp_info.pool, &key, PJSIP_ROLE_UAS, &method, rdata) !=
        PJ_SUCCESS)
        return std::string();
    return std::string(key.ptr, static_cast<std::size_t>(key.slen));
}

}  // namespace

struct DelayedAnswers::Waiting {
    DelayedAnswers *owner;
    std::string     key;
    pjsip_rx_data  *rdata;
    Send            send;
    pj_timer_entry  timer;

    ~Waiting() {
        pjsip_endpt_cancel_timer(pjsua_get_pjsip_endpt(), &timer);
        pjsip_rx_data_free_cloned(rdata);
    }
};

DelayedAnswers::DelayedAnswers() = default;
DelayedAnswers::~DelayedAnswers() = default;

bool DelayedAnswers::isWaiting(pjsip_rx_data *rdata) const {
    return !waiting_.empty() && waiting_.count(keyOf(rdata)) == 1;
}

bool DelayedAnswers::add(pjsip_rx_data *rdata, unsigned delayMs, Send send) {
    const std::string key = keyOf(rdata);
    pjsip_rx_data *copy;
    if (key.empty() || waiting_.size() >= kMost ||
        pjsip_rx_data_clone(rdata, 0, &copy) != PJ_SUCCESS)
        return false;
    auto &waiting = waiting_[key];
    waiting.reset(new Waiting{this, key, copy, std::move(send), {}});
    pj_timer_entry_init(&waiting->timer, 0, waiting.get(), &onTimer);
    const pj_time_val delay = {static_cast<long>(delayMs / 1000),
                               static_cast<long>(delayMs % 1000)};
    if (pjsip_endpt_schedule_timer(pjsua_get_pjsip_endpt(), &waiting->timer, &delay) ==
        PJ_SUCCESS)
        return true;
    waiting_.erase(key);
    return false;
}

void DelayedAnswers::clear() { waiting_.clear(); }

void DelayedAnswers::onTimer(pj_timer_heap_t *, pj_timer_entry *entry) {
    auto *waiting = static_cast<Waiting *>(entry->user_data);
    DelayedAnswers *owner = waiting->owner;
    const std::string key = waiting->key;
    waiting->send(waiting->rdata);
    owner->waiting_.erase(key);
}

}  // namespace pj
