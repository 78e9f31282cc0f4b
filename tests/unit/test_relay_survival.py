import errno
import random
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from bridge.media.ports import PortsExhaustedError
from tests.lab.relay_calls import (
    FarEnd,
    RelayCalls,
    assert_one_frame_each_slot,
    remote_of,
    speech,
)


@pytest.fixture
def calls() -> Iterator[RelayCalls]:
    with RelayCalls() as calls:
        yield calls


class Beep:
    """Local audio whose frames are numbered."""

    def __init__(self) -> None:
        self.frames = 0

    def next_frame(self) -> bytes:
        self.frames += 1
        return bytes([200, self.frames]) * 80


class TestSurvival:
    def test_phone_whose_ports_are_gone(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        phone.socket.close()
        for number in range(1, 400):
            calls.from_link(far, 20 * number, speech(number))
            calls.slot()
        assert_one_frame_each_slot(far)
        assert media.counters.sent + media.counters.send_failed == 399

    @pytest.mark.parametrize(
        ("error", "counter"),
        [
            (BlockingIOError(errno.EAGAIN, "full"), "send_blocked"),
            (ConnectionRefusedError(errno.ECONNREFUSED, "ICMP"), "send_failed"),
            (OSError(errno.ENETUNREACH, "no route"), "send_failed"),
            (PermissionError(errno.EPERM, "firewall"), "send_failed"),
        ],
        ids=["EAGAIN", "ECONNREFUSED", "ENETUNREACH", "EPERM"],
    )
    def test_what_the_network_does_not_take_is_counted(
        self, calls: RelayCalls, error: OSError, counter: str
    ) -> None:
        _, media, far = calls.connected()

        def refuse(_datagram: bytes, _address: object) -> int:
            raise error

        media.send_rtp = refuse
        assert calls.from_link(far, 20, speech(1))
        assert getattr(media.counters, counter) == 1
        assert calls.failures == []

    def test_error_on_receive_is_counted_and_the_next_packet_read(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        receive = media.receive
        errors = [ConnectionRefusedError(errno.ECONNREFUSED, "ICMP")]

        def fail_once(octets: int) -> tuple[bytes, Any]:
            if errors:
                raise errors.pop()
            return receive(octets)

        media.receive = fail_once
        phone.send(media, 1, speech(1))
        calls.slot()
        assert media.counters.receive_failed == 1
        assert far.frames[-1].payload == speech(1)

    def test_unreachable_sdp_port_is_harmless(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        media.set_remote(replace(remote_of(phone), port=65535))
        calls.from_link(far, 20, speech(1))
        calls.run(10.0)
        assert_one_frame_each_slot(far)

    @pytest.mark.parametrize("step", ["seal", "pull", "send_full"])
    def test_failing_call_is_closed_and_takes_no_other_with_it(
        self, calls: RelayCalls, step: str
    ) -> None:
        others = [calls.connected()[2] for _ in range(2)]
        _, media, _ = calls.connected()
        others.append(calls.connected()[2])
        calls.run(0.1)
        setattr(media, step, _fail)
        calls.run(40.0)
        assert [(failed, str(error)) for failed, error in calls.failures] == [(media, "bug")]
        assert media.closed
        for far in others:
            assert len(far.frames) == 2006
            assert_one_frame_each_slot(far)

    def test_failure_on_the_way_to_the_phone(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        broken_phone, broken, broken_far = calls.connected()
        setattr(broken, "open_frame", _fail)  # noqa: B010 - mypy takes it for a method
        assert calls.from_link(broken_far, 20, speech(1))
        assert calls.from_link(far, 20, speech(1))
        assert len(phone.received()) == 1
        assert broken_phone.received() == []
        assert [failed for failed, _ in calls.failures] == [broken]
        assert not media.closed

    @pytest.mark.parametrize("way", ["receive_rtcp", "send_rtcp"])
    def test_failing_reports_end_one_call(self, calls: RelayCalls, way: str) -> None:
        phone, media, _ = calls.connected()
        _, _, far = calls.connected()
        setattr(media, way, _fail)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp:
            rtcp.sendto(b"report", ("127.0.0.1", media.rtp_port + 1))
        phone.send(media, 1, speech(1))
        calls.run(10.0)
        assert [failed for failed, _ in calls.failures] == [media]
        assert_one_frame_each_slot(far)

    def test_failing_callback_and_source(self, calls: RelayCalls) -> None:
        _, playing, _ = calls.connected()
        phone, pressed, _ = calls.connected()
        _, _, far = calls.connected()
        beep = Beep()
        setattr(beep, "next_frame", _fail)  # noqa: B010 - mypy refuses to assign a method
        playing.play(beep, calls.now)
        pressed.on_digit = _fail
        phone.send(pressed, 1, bytes.fromhex("030A00A0"), 101)
        calls.run(0.1)
        assert {id(failed) for failed, _ in calls.failures} == {id(playing), id(pressed)}
        assert len(far.frames) == 6

    def test_call_that_is_closed_by_its_own_digit(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        media.on_digit = lambda _digit: media.close()
        phone.send(media, 1, bytes.fromhex("030A00A0"), 101)
        phone.send(media, 2, speech(2))
        calls.run(0.1)
        assert len(far.frames) == 1
        assert calls.failures == []

    def test_digit_of_one_call_that_closes_another(self, calls: RelayCalls) -> None:
        phone, media, _ = calls.connected()
        other_phone, other, other_far = calls.connected()
        media.on_digit = lambda _digit: other.close()
        phone.send(media, 1, bytes.fromhex("030A00A0"), 101)
        other_phone.send(other, 1, speech(1))
        calls.run(0.1)
        assert len(other_far.frames) == 1
        assert calls.failures == []

    def test_commands_after_close_do_nothing(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        media.close()
        media.play(Beep(), calls.now)
        assert not media.send_digit("1", calls.now)
        media.set_remote(remote_of(phone))
        media.receive_voice(speech(1), 20, calls.now)
        media.connect(far.path, _fail, calls.now)
        assert calls.relay.next_tick() is None

    def test_exhausted_ports_refuse_one_call_only(self) -> None:
        with RelayCalls(first_port=32300, last_port=32303) as calls:
            _, media, far = calls.connected()
            calls.connected()
            with pytest.raises(PortsExhaustedError):
                calls.relay.open("127.0.0.1")
            calls.run(0.1)
            assert len(far.frames) == 6
            media.close()
            calls.connected()

    def test_system_that_has_no_room_to_watch_sockets_refuses_one_call_only(
        self, calls: RelayCalls, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class FullEpoll:
            def register(self, *_: object) -> NoReturn:
                raise OSError(errno.ENOSPC, "no space")

        with monkeypatch.context() as patch:
            patch.setattr(calls.relay._phases, "unpaced", FullEpoll())
            with pytest.raises(PortsExhaustedError, match="no space"):
                calls.relay.open("127.0.0.1")
        assert calls.relay.calls_open == 0
        calls.connected()
        assert calls.relay.calls_open == 1

    def test_descriptors_do_not_leak(self, calls: RelayCalls) -> None:
        def descriptors() -> int:
            with socket.socket() as probe:
                return probe.fileno()

        before = descriptors()
        for _ in range(50):
            media = calls.relay.open("127.0.0.1")
            calls.connect(media)
            media.close()
        assert descriptors() == before

    def test_many_calls_come_and_go(self, calls: RelayCalls) -> None:
        chance = random.Random(11)
        live: list[FarEnd] = []
        phone = calls.phone()
        for _ in range(300):
            if live and chance.random() < 0.5:
                far = live.pop(chance.randrange(len(live)))
                far.media.close()
                assert_one_frame_each_slot(far)
            else:
                live.append(calls.connect(calls.call(phone)))
            calls.run(chance.uniform(0.0, 0.05))
        for far in live:
            far.media.close()
        assert calls.relay.next_tick() is None
        assert calls.failures == []


def _fail(*_: object) -> NoReturn:
    raise RuntimeError("bug")
