"""Proof: NEW is octet for octet the same for all calls of a link, whoever calls whom from what."""

from bridge.dialing.caller import CallerFormat
from bridge.dialing.envelope import Envelope
from bridge.dialing.plan import DialPlan, DigitLimits
from bridge.iax2 import Address
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import parse_elements_untrusted
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from tests.lab.bridged_calls import NEAR, Stage, route
from tests.lab.bridged_phone import ALAW_OFFER, OFFER, PHONE_HOST

WIDE_OFFER = (
    f"v=0\r\nc=IN IP4 {PHONE_HOST}\r\nm=audio 4000 RTP/AVP 9 18 8 0 96\r\n"
    "a=rtpmap:96 telephone-event/8000\r\na=ptime:20\r\n"
)
NUMBERS = ("8", "81", "85551234", "8" + "3" * 24)
CALLERS = ("", "1001", "+49 30 123456789", "anonymous", "1" * 15)
WITHOUT_TOKEN, WITH_TOKEN = 0, 1
CALLER_FORMAT = CallerFormat.parse("*{caller}*{called}#", "#")


def news_of_all_calls(caller_format: CallerFormat | None) -> list[list[bytes]]:
    """The NEWs of calls that differ in all that a phone can choose: without, and with a token."""
    stage = Stage()
    stage.link.envelope = Envelope(44, 60, (200, 600), "#")
    limits = DigitLimits(43, "#", caller_format)
    stage.switchboard._plan = DialPlan([route("8(.*)")], {"hq": limits})
    news: list[list[bytes]] = [[], []]

    def watch(source: Address, data: bytes) -> None:
        frame = parse_frame_untrusted(data) if data[0] & 0x80 else None
        if source == NEAR and isinstance(frame, FullFrame) and is_new(frame):
            news[has_token(frame)].append(data)

    stage.simulation.watch = watch
    for number in NUMBERS:
        for caller in CALLERS:
            for offer in (OFFER, ALAW_OFFER, WIDE_OFFER, ""):
                phone = stage.dial(number, offer, caller=caller)
                stage.run(4.2)
                assert phone.got[-1] == 200
                phone.bye()
                stage.run(0.1)
    return news


def is_new(frame: FullFrame) -> bool:
    first = frame.destination_call_number == 0  # an encrypted frame has one
    return first and (frame.frame_type, frame.subclass) == (FrameType.IAX, IaxSubclass.NEW)


def has_token(frame: FullFrame) -> bool:
    return bool(parse_elements_untrusted(frame.data).get(ElementType.CALLTOKEN))


def blanked(new: bytes) -> bytes:
    """A NEW without its call number, timestamp and token, whose lengths stay."""
    frame = parse_frame_untrusted(new)
    assert isinstance(frame, FullFrame)
    token = parse_elements_untrusted(frame.data).get(ElementType.CALLTOKEN) or b""
    assert new.count(token) == 1 or not token
    bare = new.replace(token, bytes(len(token))) if token else new
    return b"\x80\0" + bare[2:4] + bytes(4) + bare[8:]


def test_new_tells_calls_apart_by_nothing() -> None:
    calls = len(NUMBERS) * len(CALLERS) * 4
    seen = [news_of_all_calls(None), news_of_all_calls(CALLER_FORMAT)]
    for kind in (WITHOUT_TOKEN, WITH_TOKEN):
        news = [new for each in seen for new in each[kind]]
        assert len(news) == 2 * calls
        assert len({blanked(new) for new in news}) == 1
        assert len(set(news)) >= calls, "nothing varies at all: the comparison is blind"
