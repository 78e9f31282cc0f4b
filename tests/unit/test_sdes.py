"""Keys of SRTP in SDP: what is taken, what is refused, and which key of ours goes with which."""

from base64 import b64encode
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media.srtp import SrtpKeys, Suite
from bridge.sip.sdes import (
    Crypto,
    KeyExchange,
    SdesError,
    Srtp,
    parse_crypto_untrusted,
    write_crypto,
)
from bridge.sip.sdp import LocalMedia, SdpError, parse_sdp_untrusted
from bridge.sip.sdp_writing import write_sdp

KEY_30 = bytes(range(30))
KEY_28 = bytes(range(28))
INLINE_30 = "inline:" + b64encode(KEY_30).decode()
INLINE_28 = "inline:" + b64encode(KEY_28).decode()
CM_80 = f"1 AES_CM_128_HMAC_SHA1_80 {INLINE_30}"
GCM = f"2 AEAD_AES_128_GCM {INLINE_28}"
SESSION = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
PLAIN = "m=audio 4000 RTP/AVP 0\r\n"
SECURE = f"m=audio 4002 RTP/SAVP 0\r\na=crypto:{CM_80}\r\n"
UNUSABLE = f"m=audio 4002 RTP/SAVP 0\r\na=crypto:{CM_80} UNENCRYPTED_SRTP\r\n"
OPPORTUNISTIC = f"m=audio 4004 RTP/AVP 0\r\na=crypto:{CM_80}\r\n"
LOCAL = LocalMedia("192.0.2.1", 20000, ("PCMU",))


class TestAttribute:
    @pytest.mark.parametrize(
        "value",
        [
            CM_80,
            CM_80.replace(" ", "  "),
            f"{CM_80}|2^48",
            f"{CM_80}|2^31",
            f"{CM_80}|16777216",
            f"{CM_80} KDR=0",
            f"{CM_80} WSH=64",
            f"{CM_80} -future=1 WSH=1024",
        ],
    )
    def test_taken(self, value: str) -> None:
        assert parse_crypto_untrusted(value) == Crypto(1, Suite.AES_CM_80, KEY_30)

    def test_every_suite(self) -> None:
        assert parse_crypto_untrusted(GCM) == Crypto(2, Suite.AES_GCM, KEY_28)
        short = CM_80.replace("SHA1_80", "SHA1_32")
        assert parse_crypto_untrusted(short) == Crypto(1, Suite.AES_CM_32, KEY_30)

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "1",
            CM_80.replace("1 ", "", 1),
            CM_80.replace("1 ", "1234567890 ", 1),
            CM_80.replace("1 ", "-1 ", 1),
            CM_80.replace("AES_CM_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_80"),
            CM_80.replace("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"),
            CM_80.replace("AES_CM_128_HMAC_SHA1_80", "aes_cm_128_hmac_sha1_80"),
            CM_80.replace("inline", "outline"),
            CM_80.replace(INLINE_30, INLINE_28),
            GCM.replace(INLINE_28, INLINE_30),
            CM_80[:-1],
            CM_80 + "=",
            CM_80.replace("inline:", "inline:*"),
            f"{CM_80}|",
            f"{CM_80}|2^49",
            f"{CM_80}|2^23",
            f"{CM_80}|1000",
            f"{CM_80}|0",
            f"{CM_80}|2^999999999999999",
            f"{CM_80}|x",
            f"{CM_80}|1:4",
            f"{CM_80}|2^48|1:4",
            f"{CM_80};{INLINE_30}",
            f"{CM_80} UNENCRYPTED_SRTP",
            f"{CM_80} UNENCRYPTED_SRTCP",
            f"{CM_80} UNAUTHENTICATED_SRTP",
            f"{CM_80} KDR=1",
            f"{CM_80} FEC_ORDER=FEC_SRTP",
            f"{CM_80} FEC_KEY={INLINE_30}",
            f"{CM_80} UNKNOWN",
            f"{CM_80} WSH=",
            f"{CM_80} WSH=64 UNENCRYPTED_SRTP",
            CM_80 + " " * 600,
        ],
    )
    def test_refused(self, value: str) -> None:
        assert parse_crypto_untrusted(value) is None

    @given(st.text())
    def test_nonsense_raises_nothing(self, value: str) -> None:
        parse_crypto_untrusted(value)
        parse_crypto_untrusted(CM_80 + value)

    @pytest.mark.parametrize("suite", Suite)
    def test_what_is_written_is_read(self, suite: Suite) -> None:
        crypto = Crypto(7, suite, bytes(range(suite.key_octets)))
        line = write_crypto(crypto)
        assert parse_crypto_untrusted(line.removeprefix("a=crypto:").removesuffix("\r\n")) == crypto

    def test_keys_are_in_no_repr(self) -> None:
        crypto = Crypto(1, Suite.AES_CM_80, b"k" * 30)
        keys = SrtpKeys(Suite.AES_CM_80, b"k" * 30, b"k" * 30)
        assert "kkk" not in repr(crypto) + repr(keys)


class TestLines:
    @pytest.mark.parametrize(
        ("srtp", "lines", "port", "is_secure"),
        [
            (Srtp.OFF, PLAIN + SECURE, 4000, False),
            (Srtp.OFF, SECURE + PLAIN, 4000, False),
            (Srtp.OFF, OPPORTUNISTIC, 4004, False),
            (Srtp.OPTIONAL, PLAIN, 4000, False),
            (Srtp.OPTIONAL, PLAIN + SECURE, 4002, True),
            (Srtp.OPTIONAL, UNUSABLE + PLAIN, 4000, False),
            (Srtp.OPTIONAL, OPPORTUNISTIC, 4004, True),
            (Srtp.REQUIRED, PLAIN + SECURE, 4002, True),
            (Srtp.REQUIRED, OPPORTUNISTIC, 4004, True),
        ],
    )
    def test_the_one_used(self, srtp: Srtp, lines: str, port: int, *, is_secure: bool) -> None:
        remote = parse_sdp_untrusted(SESSION + lines, srtp)
        assert (remote.port, bool(remote.crypto)) == (port, is_secure)

    @pytest.mark.parametrize(
        ("srtp", "lines"),
        [
            (Srtp.OFF, SECURE),
            (Srtp.OPTIONAL, UNUSABLE),
            (Srtp.OPTIONAL, SECURE.replace("RTP/SAVP", "UDP/TLS/RTP/SAVP")),
            (Srtp.REQUIRED, PLAIN),
            (Srtp.REQUIRED, UNUSABLE + PLAIN),
            (Srtp.REQUIRED, SECURE.replace("4002", "0") + PLAIN),
            (Srtp.REQUIRED, f"a=crypto:{CM_80}\r\n" + PLAIN),
        ],
    )
    def test_refused(self, srtp: Srtp, lines: str) -> None:
        with pytest.raises(SdpError):
            parse_sdp_untrusted(SESSION + lines, srtp)

    def test_all_usable_keys_are_read_in_order_and_doubles_left_out(self) -> None:
        lines = f"a=crypto:{GCM}\r\na=crypto:nonsense\r\na=crypto:{CM_80}\r\na=crypto:{CM_80}\r\n"
        remote = parse_sdp_untrusted(SESSION + "m=audio 4 RTP/SAVP 0\r\n" + lines, Srtp.OPTIONAL)
        assert [crypto.tag for crypto in remote.crypto] == [2, 1]

    def test_keys_without_end_are_not_all_kept(self) -> None:
        many = "".join(f"a=crypto:{tag}{CM_80[1:]}\r\n" for tag in range(1, 40))
        remote = parse_sdp_untrusted(SESSION + "m=audio 4 RTP/SAVP 0\r\n" + many, Srtp.REQUIRED)
        assert len(remote.crypto) == 16


class TestWriting:
    def test_answer_repeats_transport_and_tag(self) -> None:
        offer = parse_sdp_untrusted(SESSION + PLAIN + SECURE, Srtp.OPTIONAL)
        ours = Crypto(1, Suite.AES_CM_80, KEY_30)
        local = LocalMedia("192.0.2.1", 20000, ("PCMU",), crypto=(ours,))
        text = write_sdp(offer, local, 1, 1)
        assert "m=audio 0 RTP/AVP 0\r\nm=audio 20000 RTP/SAVP 0\r\n" in text
        assert f"a=crypto:{CM_80}\r\n" in text

    @pytest.mark.parametrize(
        ("lines", "crypto"), [(SECURE, ()), (PLAIN, (Crypto(1, Suite.AES_CM_80, KEY_30),))]
    )
    def test_no_answer_of_keys_to_one_without_or_the_other_way_round(
        self, lines: str, crypto: tuple[Crypto, ...]
    ) -> None:
        offer = parse_sdp_untrusted(SESSION + lines, Srtp.OPTIONAL)
        with pytest.raises(SdpError, match="keys"):
            write_sdp(offer, LocalMedia("192.0.2.1", 20000, ("PCMU",), crypto=crypto), 1, 1)

    @pytest.mark.parametrize(("secure_only", "transport"), [(True, "SAVP"), (False, "AVP")])
    def test_offer_has_a_key_for_each_suite(self, *, secure_only: bool, transport: str) -> None:
        crypto = KeyExchange().offer()
        local = LocalMedia("192.0.2.1", 20000, ("PCMU",), crypto=crypto, secure_only=secure_only)
        text = write_sdp(None, local, 1, 1)
        assert f"m=audio 20000 RTP/{transport} 0 101\r\n" in text
        assert parse_sdp_untrusted(text, Srtp.REQUIRED).crypto == crypto


class TestKeyExchange:
    @pytest.fixture
    def exchange(self) -> KeyExchange:
        numbers = count(1)
        return KeyExchange(lambda octets: bytes([next(numbers)]) * octets)

    def test_clear_audio_has_no_keys(self, exchange: KeyExchange) -> None:
        assert exchange.agree(()) is None
        assert exchange.local is None

    def test_the_first_one_offered_is_taken_under_its_tag(self, exchange: KeyExchange) -> None:
        theirs = Crypto(5, Suite.AES_GCM, KEY_28), Crypto(6, Suite.AES_CM_80, KEY_30)
        assert exchange.agree(theirs) == SrtpKeys(Suite.AES_GCM, b"\1" * 28, KEY_28)
        assert exchange.local == Crypto(5, Suite.AES_GCM, b"\1" * 28)

    def test_our_key_stays_as_long_as_theirs(self, exchange: KeyExchange) -> None:
        first = exchange.agree((Crypto(1, Suite.AES_CM_80, KEY_30),))
        assert exchange.agree((Crypto(2, Suite.AES_CM_80, KEY_30),)) == first
        assert exchange.local is not None
        assert exchange.local.tag == 2
        changed = exchange.agree((Crypto(1, Suite.AES_CM_80, KEY_30[::-1]),))
        assert changed is not None
        assert first is not None
        assert changed.local != first.local
        other_suite = exchange.agree((Crypto(1, Suite.AES_CM_32, KEY_30[::-1]),))
        assert other_suite is not None
        assert other_suite.local not in (first.local, changed.local)

    def test_key_is_new_after_a_time_in_clear(self, exchange: KeyExchange) -> None:
        first = exchange.agree((Crypto(1, Suite.AES_CM_80, KEY_30),))
        exchange.agree(())
        again = exchange.agree((Crypto(1, Suite.AES_CM_80, KEY_30),))
        assert first is not None
        assert again is not None
        assert first.local != again.local

    def test_our_offer_is_the_same_until_it_is_answered(self, exchange: KeyExchange) -> None:
        offer = exchange.offer()
        assert exchange.offer() is offer
        assert len({crypto.key[0] for crypto in offer}) == len(Suite)
        keys = exchange.agree((Crypto(2, Suite.AES_CM_80, KEY_30),))
        assert keys == SrtpKeys(Suite.AES_CM_80, offer[1].key, KEY_30)

    def test_next_offer_keeps_the_key_in_use_alone(self, exchange: KeyExchange) -> None:
        before = exchange.offer()
        exchange.agree((Crypto(2, Suite.AES_CM_80, KEY_30),))
        after = exchange.offer()
        assert [a.key == b.key for a, b in zip(before, after, strict=True)] == [False, True, False]

    def test_answer_to_what_was_not_offered(self, exchange: KeyExchange) -> None:
        exchange._offered = exchange.offer()[:1]
        with pytest.raises(SdesError):
            exchange.agree((Crypto(1, Suite.AES_CM_80, KEY_30),))

    def test_real_keys_are_random(self) -> None:
        keys = {KeyExchange().offer()[0].key for _ in range(20)}
        assert len(keys) == 20
