/* Sizes of the bridge's PJSIP: a gateway with hundreds of calls, no media, no sound device. */
#define PJ_IOQUEUE_MAX_HANDLES   16384
#define PJSIP_MAX_TSX_COUNT      16383
#define PJSIP_MAX_DIALOG_COUNT   8191
#define PJSIP_MAX_TRANSPORTS     4096
#define PJSIP_MAX_NET_EVENTS     32
/* One thread waits, so that none has to be left asleep: EPOLLEXCLUSIVE would cost two system calls
   where one does, before and behind each message. */
#define PJ_IOQUEUE_DEFAULT_EPOLL_FLAGS 0

/* A connection that says nothing within so many seconds is closed: who has none may open many. */
#define PJSIP_TRANSPORT_SERVER_IDLE_TIME_FIRST 20

/* Every message allocates this much, so it is not larger than real ones need. */
#define PJSIP_MAX_PKT_LEN        6000
/* So much holds a message received, or one to send, without asking for more. */
#define PJSIP_POOL_RDATA_LEN     16000
#define PJSIP_POOL_LEN_TDATA     12000
#define PJSIP_MAX_URL_SIZE       1024

/* A burst of INVITEs waits in the kernel while the one thread relays media. */
#define PJSIP_UDP_SO_RCVBUF_SIZE (4 * 1024 * 1024)
#define PJSIP_UDP_SO_SNDBUF_SIZE (4 * 1024 * 1024)

/* uaConfig.maxCalls may be less: each slot takes about 11 kB from the start, most of it for media
   lines. More of them than this are none of a phone's; what reads SDP before PJSIP refuses them. */
#define PJSUA_MAX_CALLS          2048
#define PJMEDIA_MAX_SDP_MEDIA    8
#define PJSUA_MAX_ACC            64

#define PJ_HAS_IPV6              1

/* SRTP is the bridge's own, yet PJSIP ends a call whose suite it was not built with. The second
   name is of a pointer in its table of suites that nobody follows. */
#define PJMEDIA_SRTP_HAS_AES_GCM_128 1
#define srtp_aes_gcm_128_openssl srtp_null_cipher

/* What pjlib says before a log writer is attached would go to standard output. */
#define PJ_LOG_MAX_LEVEL         3
