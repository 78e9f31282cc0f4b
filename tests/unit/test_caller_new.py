"""The handshake of a caller: NEW and what it shows, the profile, and the call token."""

from dataclasses import replace
from random import Random

import pytest

from bridge.iax2 import CallProfile, ChallengeMemory, Format, LocalProtocolError
from bridge.iax2.caller import encode_new
from bridge.iax2.constants import ElementType, Encryption, IaxSubclass
from bridge.iax2.elements import InformationElements, parse_elements_untrusted
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from bridge.iax2.states import State
from tests.lab.iax2_pair import SECRET, Pair, call_profile
from tests.lab.iax2_phases import offer_token, place
from tests.lab.iax2_wire import NEAR

LEFT_OUT_ON_PURPOSE = {2, 3, 4, 5, 10, 13, 28, 31, 52, 57}


class TestNew:
    def test_what_it_carries_and_in_which_order(self) -> None:
        peer, _ = place()
        (new,) = peer.got(IaxSubclass.NEW)
        assert new.elements.pairs == (
            (ElementType.VERSION, b"\x00\x02"),
            (ElementType.CALLED_NUMBER, b"enc"),
            (ElementType.CODEC_PREFS, b"DE"),
            (ElementType.CALLINGPRES, b"\x43"),
            (ElementType.CALLINGTON, b"\x00"),
            (ElementType.CALLINGTNS, b"\x00\x00"),
            (ElementType.USERNAME, b"branch-7"),
            (ElementType.ENCRYPTION, b"\x00\x01"),
            (ElementType.FORMAT, b"\x00\x00\x00\x04"),
            (ElementType.FORMAT2, b"\0" + bytes(7) + b"\x04"),
            (ElementType.CAPABILITY, b"\x00\x00\x00\x0c"),
            (ElementType.CAPABILITY2, b"\0" + bytes(7) + b"\x0c"),
            (ElementType.CALLTOKEN, b""),
        )

    def test_nothing_of_what_is_left_out_on_purpose(self) -> None:
        elements = parse_elements_untrusted(encode_new(call_profile(), b"token"))
        assert not {element_type for element_type, _ in elements} & LEFT_OUT_ON_PURPOSE

    def test_key_rotation_is_never_offered(self) -> None:
        elements = parse_elements_untrusted(encode_new(call_profile(), b""))
        offered = elements.uint(ElementType.ENCRYPTION, 2)
        assert offered == Encryption.AES128

    def test_calls_of_a_profile_differ_in_token_timestamp_and_call_number_alone(self) -> None:
        pair = Pair()
        profile = call_profile()
        for _ in range(20):
            pair.place(profile)
            pair.elapse(0.37)
        news = [frame for data in pair.sent_by(NEAR) if (frame := clear_new(data))]
        assert len(news) == 40
        without_token = {masked(frame) for frame in news}
        assert len(without_token) == 1
        assert len({frame.source_call_number for frame in news}) == 20
        assert len({len(frame.data) for frame in news}) == 2

    @pytest.mark.parametrize("first_timestamp_ms", [0, 2**32 - 60_000])
    def test_timestamps_begin_where_the_profile_says(self, first_timestamp_ms: int) -> None:
        peer, _ = place(call_profile(first_timestamp_ms=first_timestamp_ms))
        assert peer.got(IaxSubclass.NEW)[0].frame.timestamp_ms == first_timestamp_ms + 1


def clear_new(data: bytes) -> FullFrame | None:
    frame = parse_frame_untrusted(data)
    if isinstance(frame, FullFrame) and frame.destination_call_number == 0:
        assert frame.subclass == IaxSubclass.NEW
        return frame
    return None


def masked(frame: FullFrame) -> bytes:
    pairs = parse_elements_untrusted(frame.data).pairs
    assert pairs[-1][0] == ElementType.CALLTOKEN
    data = InformationElements(pairs[:-1]).encode()
    return replace(frame, source_call_number=1, timestamp_ms=0, data=data).encode()


class TestProfile:
    @pytest.mark.parametrize("formats", [(), (Format.SLIN,), (Format.ULAW, Format.SPEEX)])
    def test_formats_without_a_known_frame_are_refused(self, formats: tuple[Format, ...]) -> None:
        with pytest.raises(LocalProtocolError):
            call_profile(formats=formats)

    @pytest.mark.parametrize(("username", "extension"), [("u" * 256, "enc"), ("u", "e" * 256)])
    def test_names_that_no_element_can_hold_are_refused(
        self, username: str, extension: str
    ) -> None:
        memory = ChallengeMemory(Random(1).randbytes)
        with pytest.raises(LocalProtocolError):
            CallProfile(username, SECRET, extension, (Format.ULAW,), memory)

    def test_a_repr_shows_no_secret(self) -> None:
        assert "secret of two" not in repr(call_profile())


class TestCallToken:
    def test_new_again_with_the_token_from_the_start(self) -> None:
        peer, _ = place()
        peer.elapse(0.3)
        offer_token(peer, b"a token")
        first, second = peer.got(IaxSubclass.NEW)
        assert second.elements.get(ElementType.CALLTOKEN) == b"a token"
        assert (second.frame.oseqno, second.frame.iseqno) == (0, 0)
        assert second.frame.timestamp_ms == first.frame.timestamp_ms
        assert second.frame.destination_call_number == 0
        assert not second.frame.retransmission

    def test_a_copy_of_it_acknowledges_nothing(self) -> None:
        peer, call = place()
        offer_token(peer)
        offer_token(peer)
        assert len(peer.got(IaxSubclass.NEW)) == 2
        peer.elapse(0.6)
        assert len(peer.got(IaxSubclass.NEW)) == 3
        assert call.state is State.NEW_SENT

    @pytest.mark.parametrize("token", [b"first", b""])
    def test_a_second_one_or_none_is_malformed(self, token: bytes) -> None:
        peer, call = place()
        if token:
            offer_token(peer, token)
        offer_token(peer, b"")
        assert call.statistics.dropped_malformed == 1
        assert call.state is State.NEW_SENT
