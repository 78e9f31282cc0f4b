import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bridge import cli
from bridge.audit import CaptureError, decrypt_capture
from bridge.audit.capture import CaptureReader
from bridge.audit.packets import Datagram, datagram_of
from bridge.audit.writer import PcapWriter
from bridge.iax2.auth import derive_key
from bridge.iax2.cipher import Sealer
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements
from bridge.iax2.frames import FullFrame, MiniFrame
from tests.lab.iax2_pair import SECRET, Pair
from tests.vectors.reference import open_capture

CAPTURES = Path(__file__).parents[1] / "vectors" / "captures"
A, B1, C, F, G = (
    CAPTURES / f"{name}.pcap"
    for name in (
        "a-md5-22-22",
        "b1-md5-16-to-22",
        "c-plain-22-22",
        "f-register-qualify",
        "g-badsecret",
    )
)
NEAR, FAR = (b"\xc0\0\2\1", 4569), (b"\xc0\0\2\2", 4569)


def datagrams_of(path: Path) -> list[Datagram]:
    with CaptureReader(path) as reader:
        return [datagram for packet in reader if (datagram := datagram_of(packet)) is not None]


@pytest.mark.parametrize("capture", [A, B1], ids=lambda path: path.stem)
def test_every_frame_is_opened_as_the_oracle_opens_it(capture: Path, tmp_path: Path) -> None:
    output = tmp_path / "clear.pcap"
    outcome = decrypt_capture(capture, [b"another", b"s3cr3t-md5"], output)
    expected = [opened.clear for opened in open_capture(capture.stem)]
    written = datagrams_of(output)
    assert [datagram.octets for datagram in written] == expected
    original = datagrams_of(capture)
    assert [(d.at_ns, d.source, d.destination) for d in written] == [
        (d.at_ns, d.source, d.destination) for d in original
    ]
    (call,) = outcome.calls
    assert (call.written, call.left_out, call.rotations) == (len(expected), 0, 1)


@pytest.mark.parametrize(("capture", "digits"), [(A, "5551234#"), (B1, "1616#")], ids=["a", "b1"])
def test_tshark_shows_the_digits_and_dissects_every_frame(
    capture: Path, digits: str, tmp_path: Path
) -> None:
    output = tmp_path / "clear.pcap"
    decrypt_capture(capture, [b"s3cr3t-md5"], output)
    frames = _tshark(
        output, "frame.number", "_ws.malformed", "iax2.packet_type", "udp.checksum.status"
    )
    assert len(frames) == len(datagrams_of(capture))
    assert all(malformed == "" and packet for _, malformed, packet, _ in frames)
    assert {status for *_, status in frames} == {"1"}
    shown = _tshark(output, "iax2.type", "iax2.dtmf.subclass")
    pressed = [digit for kind, digit in shown if kind == str(FrameType.DTMF_END.value)]
    assert "".join(pressed) == digits


def _tshark(path: Path, *fields: str) -> list[list[str]]:
    wanted = [argument for field in fields for argument in ("-e", field)]
    checks = ["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    done = subprocess.run(
        ["tshark", "-r", str(path), *checks, "-T", "fields", *wanted],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("capture", [C, F], ids=lambda path: path.stem)
def test_what_is_in_clear_is_copied(capture: Path, tmp_path: Path) -> None:
    output = tmp_path / "clear.pcap"
    outcome = decrypt_capture(capture, [b"s3cr3t-pl"], output)
    assert outcome.calls == ()
    assert datagrams_of(output) == datagrams_of(capture)


def test_a_wrong_secret_is_named_and_its_call_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, secret = tmp_path / "clear.pcap", tmp_path / "secret"
    secret.write_text("not the secret\n")
    arguments = ["decrypt", str(G), "--secret-file", str(secret), "-o", str(output)]
    assert cli.main(arguments) == 1
    shown = capsys.readouterr()
    assert "call 11910/15630 from 127.0.0.11:4569" in shown.out
    assert "left out, no secret of the file fits" in shown.out
    assert "not the secret" not in shown.out + shown.err
    assert len(datagrams_of(output)) == 19
    assert cli.main(arguments) == 2
    assert "use --force" in capsys.readouterr().err
    assert cli.main([*arguments, "--force"]) == 1


def test_frames_that_the_other_side_made_with_another_secret_are_left_out(tmp_path: Path) -> None:
    (call,) = decrypt_capture(G, [b"WRONG"], tmp_path / "clear.pcap").calls
    assert (call.written, call.left_out) == (32, 27)


def test_the_output_is_for_its_owner_alone_and_says_that_it_is_clear(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, secret = tmp_path / "clear.pcap", tmp_path / "secret"
    secret.write_text("s3cr3t-md5\n")
    assert cli.main(["decrypt", str(A), "--secret-file", str(secret), "-o", str(output)]) == 0
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    shown = capsys.readouterr()
    assert "1310 frames in clear, 1 changes of key followed" in shown.out
    assert "It is in clear" in shown.err
    assert list(tmp_path.glob(".siax-*")) == []


@pytest.mark.parametrize("text", ["", "\n \n", "x\n" * 65])
def test_a_secret_file_without_a_secret_or_with_too_many(tmp_path: Path, text: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(text)
    output = str(tmp_path / "clear.pcap")
    assert cli.main(["decrypt", str(A), "--secret-file", str(secret), "-o", output]) == 2


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot write"):
        decrypt_capture(A, [b"x"], tmp_path / "none" / "clear.pcap")


def test_both_roles_of_our_own_call_and_rsa_with_rotation_both_ways(tmp_path: Path) -> None:
    pair = Pair()
    call, _ = pair.answered()
    call.hang_up(pair.now)
    pair.exchange()
    ends = {("192.0.2.1", 4569): (NEAR, FAR), ("192.0.2.2", 4569): (FAR, NEAR)}
    ours = [
        Datagram(int(sent.at * 1e9), *ends[sent.source], sent.data, len(sent.data))  # type: ignore[index]
        for sent in pair.wire
    ]
    capture = tmp_path / "ours.pcap"
    _write(capture, ours)
    (opened,) = decrypt_capture(capture, [SECRET], tmp_path / "clear.pcap").calls
    assert (opened.written, opened.left_out) == (len(ours), 0)


@pytest.mark.parametrize("spoilt", [False, True], ids=["as sent", "sent again by Asterisk"])
def test_rsa_with_secret_and_keys_rotated_by_both(tmp_path: Path, *, spoilt: bool) -> None:
    capture = tmp_path / "rsa.pcap"
    wire, clear = _rsa_call(spoilt=spoilt)
    _write(capture, wire)
    (call,) = decrypt_capture(capture, [b"rsa secret"], tmp_path / "clear.pcap").calls
    assert (call.written, call.left_out, call.rotations) == (len(wire), 0, 2)
    assert [datagram.octets for datagram in datagrams_of(tmp_path / "clear.pcap")] == clear


def _rsa_call(*, spoilt: bool) -> tuple[list[Datagram], list[bytes]]:
    """A call with RSA: after the set-up each side rotates its key, then sends audio.

    With `spoilt` each full frame got lost and was sent again, iseqno written over what is sealed.
    """

    def seal(sealer: Sealer, frame: FullFrame) -> bytes:
        octets = bytearray(sealer.seal_full(frame.encode()))
        octets[9] ^= 0x5A * spoilt
        return bytes(octets)

    key = derive_key(b"123", b"rsa secret")
    new = InformationElements.of((ElementType.VERSION, (2, 2)))
    ask = InformationElements.of(
        (ElementType.AUTHMETHODS, (4, 2)),
        (ElementType.CHALLENGE, b"123"),
        (ElementType.ENCRYPTION, (0x8001, 2)),
    )
    answer = InformationElements.of((ElementType.RSA_RESULT, b"x" * 172))
    proof = replace(_iax(5, 6, 2, IaxSubclass.AUTHREP, answer), retransmission=spoilt)
    frames: list[tuple[bool, FullFrame | MiniFrame]] = [
        (True, _iax(5, 0, 0, IaxSubclass.NEW, new)),
        (False, _iax(6, 5, 1, IaxSubclass.AUTHREQ, ask)),
        (True, proof),
    ]
    sealers = {True: Sealer(key), False: Sealer(key)}
    wire = [frame.encode() for _, frame in frames[:2]] + [seal(sealers[True], proof)]
    for near, ours, theirs in ((True, 5, 6), (False, 6, 5)):
        fresh = bytes((ours,)) * 16
        rotate = InformationElements.of((ElementType.CHALLENGE, fresh))
        rtkey = _iax(ours, theirs, 20, IaxSubclass.RTKEY, rotate)
        voice = FullFrame(ours, theirs, 20, 1, 1, FrameType.VOICE, 4, b"a" * 160)
        for frame, next_sealer in ((rtkey, Sealer(fresh)), (voice, None)):
            frames.append((near, replace(frame, retransmission=spoilt)))
            wire.append(seal(sealers[near], replace(frame, retransmission=spoilt)))
            sealers[near] = next_sealer or sealers[near]
        frames.append((near, MiniFrame(ours, 40, b"b" * 160)))
        wire.append(sealers[near].seal_mini(frames[-1][1].encode()))
    datagrams = [
        Datagram(at, *((NEAR, FAR) if near else (FAR, NEAR)), octets, len(octets))
        for at, ((near, _), octets) in enumerate(zip(frames, wire, strict=True))
    ]
    return datagrams, [frame.encode() for _, frame in frames]


def _iax(
    ours: int, theirs: int, at_ms: int, subclass: IaxSubclass, elements: InformationElements
) -> FullFrame:
    return FullFrame(ours, theirs, at_ms, 0, 0, FrameType.IAX, subclass, elements.encode())


def _write(path: Path, datagrams: list[Datagram]) -> None:
    with path.open("wb") as file:
        writer = PcapWriter(file)
        for datagram in datagrams:
            writer.write(datagram)
