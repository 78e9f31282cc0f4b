#include "dummy_codecs.hpp"

#include <algorithm>
#include <cstring>

#include <pjmedia.h>
#include <pjsua-lib/pjsua.h>

#define THIS_FILE "dummy_codecs.cpp"

namespace pj {
namespace {

constexpr unsigned kMaxCodecs = 16;

struct Entry {
    char               name[16];
    pjmedia_codec_info info;
};

// PJSIP's codec manager keeps pointers into these until libDestroy(). One thread only.
Entry                 entries[kMaxCodecs];
unsigned              entryCount;
pjmedia_codec_factory factory;

bool sameCodec(const pjmedia_codec_info &left, const pjmedia_codec_info &right) {
    return left.clock_rate == right.clock_rate &&
           pj_stricmp(&left.encoding_name, &right.encoding_name) == 0;
}

bool isListed(const pjmedia_codec_info &info) {
    return std::any_of(entries, entries + entryCount,
                       [&](const Entry &entry) { return sameCodec(entry.info, info); });
}

pj_status_t factoryTest(pjmedia_codec_factory *, const pjmedia_codec_info *info) {
    return isListed(*info) ? PJ_SUCCESS : PJMEDIA_CODEC_EUNSUP;
}

// Whatever the SDP says: nobody ever encodes by it.
pj_status_t factoryAttributes(pjmedia_codec_factory *, const pjmedia_codec_info *info,
                              pjmedia_codec_param *parameters) {
    pj_bzero(parameters, sizeof(*parameters));
    parameters->info.pt = static_cast<pj_uint8_t>(info->pt);
    parameters->info.clock_rate = 8000;
    parameters->info.channel_cnt = 1;
    parameters->info.avg_bps = parameters->info.max_bps = 64000;
    parameters->info.pcm_bits_per_sample = 16;
    parameters->info.frm_ptime = 20;
    parameters->setting.frm_per_pkt = 1;
    return PJ_SUCCESS;
}

pj_status_t factoryEnumerate(pjmedia_codec_factory *, unsigned *count,
                             pjmedia_codec_info codecs[]) {
    *count = std::min(*count, entryCount);
    for (unsigned i = 0; i < *count; ++i) codecs[i] = entries[i].info;
    return PJ_SUCCESS;
}

// No stream is ever made that would ask for a codec (no_stream.cpp).
pj_status_t factoryAllocate(pjmedia_codec_factory *, const pjmedia_codec_info *,
                            pjmedia_codec **) {
    return PJMEDIA_CODEC_EUNSUP;
}

pj_status_t factoryDeallocate(pjmedia_codec_factory *, pjmedia_codec *) { return PJ_SUCCESS; }
pj_status_t factoryDestroy() { return PJ_SUCCESS; }

pjmedia_codec_factory_op factoryOperations = {
    &factoryTest,     &factoryAttributes, &factoryEnumerate,
    &factoryAllocate, &factoryDeallocate, &factoryDestroy,
};

}  // namespace

void DummyCodecs::add(const std::string &name, int payloadType, unsigned clockRate,
                      unsigned channels) PJSUA2_THROW(Error) {
    pjmedia_codec_info info;
    pj_bzero(&info, sizeof(info));
    info.type = PJMEDIA_TYPE_AUDIO;
    info.pt = static_cast<unsigned>(payloadType);
    info.encoding_name = {const_cast<char *>(name.data()), static_cast<pj_ssize_t>(name.size())};
    info.clock_rate = clockRate;
    info.channel_cnt = channels;
    if (isListed(info)) return;
    if (entryCount == kMaxCodecs) PJSUA2_RAISE_ERROR(PJ_ETOOMANY);
    if (name.size() >= sizeof(Entry::name)) PJSUA2_RAISE_ERROR(PJ_ENAMETOOLONG);
    Entry &entry = entries[entryCount++];
    entry.info = info;
    std::memcpy(entry.name, name.c_str(), name.size() + 1);
    entry.info.encoding_name = pj_str(entry.name);
}

void DummyCodecs::install() PJSUA2_THROW(Error) {
    pj_bzero(&factory, sizeof(factory));
    factory.op = &factoryOperations;
    PJSUA2_CHECK_EXPR(pjmedia_codec_mgr_register_factory(
        pjmedia_endpt_get_codec_mgr(pjsua_get_pjmedia_endpt()), &factory));
}

}  // namespace pj
