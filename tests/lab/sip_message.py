"""SIP messages and SDP bodies as the lab's phone needs them: text in, text out, no state."""

import re
from dataclasses import dataclass
from typing import Self

from tests.lab import LabError

_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
}
TELEPHONE_EVENT = 101
ILBC = 97


@dataclass(frozen=True, slots=True)
class SipMessage:
    """A request or a response, header names in lower case and in order."""

    start_line: str
    headers: tuple[tuple[str, str], ...]
    body: str = ""

    @classmethod
    def parse(cls, datagram: bytes) -> Self:
        """Takes a datagram apart; folded header lines are not understood."""
        head, _, body = datagram.decode(errors="replace").partition("\r\n\r\n")
        start_line, *lines = head.split("\r\n")
        pairs = (line.partition(":")[::2] for line in lines)
        named = ((name.strip().lower(), value.strip()) for name, value in pairs)
        return cls(start_line, tuple((_COMPACT.get(n, n), v) for n, v in named), body)

    @property
    def status(self) -> int:
        """The status code; 0 for a request."""
        found = re.match(r"SIP/2\.0 (\d{3})", self.start_line)
        return int(found[1]) if found else 0

    @property
    def reason(self) -> str:
        """The reason phrase of a response."""
        return self.start_line.split(" ", 2)[-1]

    @property
    def method(self) -> str:
        """The method, of a response the one it responds to."""
        return self.get("cseq").split()[-1]

    @property
    def cseq(self) -> int:
        """The sequence number within the dialog."""
        return int(self.get("cseq").split()[0])

    def get(self, name: str) -> str:
        """The first header of a name, else an empty text."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[tuple[str, str]]:
        """Every header of a name, with the name."""
        return [(key, value) for key, value in self.headers if key == name]

    def encode(self) -> bytes:
        """The datagram."""
        kind = [("content-type", "application/sdp")] if self.body.startswith("v=0") else []
        length = ("content-length", str(len(self.body.encode())))
        lines = [f"{key.title()}: {value}" for key, value in [*self.headers, *kind, length]]
        return "\r\n".join([self.start_line, *lines, "", self.body]).encode()


@dataclass(frozen=True, slots=True)
class Media:
    """The one audio stream of an SDP body."""

    host: str
    port: int
    payload_types: tuple[int, ...]
    telephone_event: int | None
    direction: str

    @classmethod
    def parse(cls, body: str) -> Self:
        """Reads the first audio stream.

        Raises:
            LabError: There is none.
        """
        host = re.search(r"^c=IN IP[46] (\S+)", body, re.MULTILINE)
        stream = re.search(r"^m=audio (\d+) RTP/AVP ([\d ]+)", body, re.MULTILINE)
        if host is None or stream is None:
            raise LabError(f"no audio in SDP: {body!r}")
        event = re.search(r"^a=rtpmap:(\d+) telephone-event/8000", body, re.MULTILINE)
        direction = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\b", body, re.MULTILINE)
        return cls(
            host[1],
            int(stream[1]),
            tuple(int(number) for number in stream[2].split()),
            int(event[1]) if event else None,
            direction[1] if direction else "sendrecv",
        )


def write_sdp(
    host: str, port: int, formats: tuple[int, ...], version: int, direction: str = "sendrecv"
) -> str:
    """An SDP body with static payload types, iLBC in frames of 20 ms and RFC 4733 events."""
    ilbc = [f"a=rtpmap:{ILBC} iLBC/8000", f"a=fmtp:{ILBC} mode=20"] if ILBC in formats else []
    family = "IP6" if ":" in host else "IP4"
    lines = [
        "v=0",
        f"o=lab 1 {version} IN {family} {host}",
        "s=-",
        f"c=IN {family} {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {' '.join(map(str, formats))} {TELEPHONE_EVENT}",
        *ilbc,
        f"a=rtpmap:{TELEPHONE_EVENT} telephone-event/8000",
        f"a=fmtp:{TELEPHONE_EVENT} 0-15",
        "a=ptime:20",
        f"a={direction}",
    ]
    return "\r\n".join([*lines, ""])


def place_of(host: str, port: int) -> str:
    """An address and a port as URIs and Via have them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def uri_of(header: str) -> str:
    """The URI of a From, To or Contact header."""
    found = re.search(r"<([^>]+)>", header)
    return found[1] if found else header.partition(";")[0].strip()


def user_of(header: str) -> str:
    """The user part of that URI."""
    found = re.match(r"sips?:([^@;>]+)@", uri_of(header))
    return found[1] if found else ""
