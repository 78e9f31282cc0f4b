// Which of our addresses leads to a phone. PJSIP asks the kernel by a socket of its own, and twice
// for each call; the last answer is good for a second. The linker puts this in the place of what
// asks (WRAPPED in recipe.py).

#include <string>

#include <pjlib.h>

extern "C" pj_status_t __real_pj_getipinterface(
    int, const pj_str_t *, pj_sockaddr *, pj_bool_t, pj_sockaddr *);

namespace {

constexpr pj_uint32_t kGoodForMs = 1000;

struct Answer {
    int           family = 0;
    std::string   destination;
    pj_sockaddr   address;
    pj_time_val   at;
};

Answer last;    // one thread only

bool isGood(int family, const pj_str_t &destination, const pj_time_val &now) {
    pj_time_val age = now;
    PJ_TIME_VAL_SUB(age, last.at);
    return last.family == family && PJ_TIME_VAL_MSEC(age) < kGoodForMs &&
           last.destination.compare(0, std::string::npos, destination.ptr,
                                    static_cast<std::size_t>(destination.slen)) == 0;
}

}  // namespace

extern "C" pj_status_t __wrap_pj_getipinterface(int family, const pj_str_t *destination,
                                                pj_sockaddr *address, pj_bool_t mayResolve,
                                                pj_sockaddr *resolved) {
    pj_time_val now;
    pj_gettickcount(&now);
    if (resolved == nullptr && isGood(family, *destination, now)) {
        *address = last.address;
        return PJ_SUCCESS;
    }
    const pj_status_t status =
        __real_pj_getipinterface(family, destination, address, mayResolve, resolved);
    if (status == PJ_SUCCESS) {
        last = {family, {destination->ptr, static_cast<std::size_t>(destination->slen)}, *address,
                now};
    }
    return status;
}
