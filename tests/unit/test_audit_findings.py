"""The audit finds what is in the captures of real calls, and says so in every form."""

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bridge import cli
from bridge.audit.audit import Audit, audit_capture
from bridge.audit.dialogs import OPEN_DIALOGS_MAX
from bridge.audit.observing import FIELDS_MAX
from bridge.audit.packets import Datagram
from bridge.audit.page import html_page
from bridge.audit.report import directions, write_text
from bridge.audit.signals import bursts_of
from bridge.audit.writer import PcapWriter
from bridge.iax2.cipher import Sealer
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements
from bridge.iax2.frames import FullFrame, MiniFrame

CAPTURES = Path(__file__).parents[1] / "vectors" / "captures"
NEAR, FAR = (b"\x7f\0\0\1", 4569), (b"\x7f\0\0\2", 4569)
MS = 1_000_000
NEW_ELEMENTS = (
    (ElementType.VERSION, (2, 2)),
    (ElementType.CALLED_NUMBER, "4930123"),
    (ElementType.CALLING_NUMBER, "4940456"),
    (ElementType.CALLING_NAME, "<b>Ann</b>"),
    (ElementType.CALLED_CONTEXT, "from-site"),
    (ElementType.VARIABLE, "ACCOUNT=7"),
)


def audited(name: str) -> Audit:
    return audit_capture(CAPTURES / f"{name}.pcap")


def codes(audit: Audit, severity: str = "leak") -> set[str]:
    return {code for kind, code in audit.codes if kind == severity}


def texts(audit: Audit, code: str) -> list[str]:
    return [f.text for judged in audit.dialogs for f in judged.findings if f.code == code]


def test_a_encrypted_call() -> None:
    audit = audited("a-md5-22-22")
    assert codes(audit) == {"digit-count"}
    (count,) = texts(audit, "digit-count")
    assert count.endswith("it suggests 8 digits")  # 5551234#
    assert {"telltale", "rotation", "rotation-offered"} <= codes(audit, "weak")
    assert {"all-encrypted", "constant-audio", "no-repeats"} == codes(audit, "hidden")
    assert texts(audit, "extension") == ["the extension in clear: enc"]


def test_b1_repeated_blocks_and_the_count() -> None:
    audit = audited("b1-md5-16-to-22")
    assert codes(audit) == {"digit-count", "repeated-blocks", "audio-gaps"}
    assert [text.split()[-2] for text in texts(audit, "digit-count")] == ["5"]  # 1616#
    assert texts(audit, "repeated-blocks")[0].startswith("2 frames of the callee")


def test_c_everything_in_clear() -> None:
    audit = audited("c-plain-22-22")
    assert codes(audit) == {"digits", "md5-result", "clear-audio", "not-encrypted"}
    assert texts(audit, "digits") == ["digits in clear: 5551234#"]
    assert "ad37289db126a740a7842765f4f9c970" in texts(audit, "md5-result")[0]


def test_leaks_are_told_by_direction(capsys: pytest.CaptureFixture[str]) -> None:
    audit = audited("b1-md5-16-to-22")
    assert dict(audit.leaks_from) == {
        ("caller", "digit-count"): 1,
        ("callee", "audio-gaps"): 1,
        ("callee", "repeated-blocks"): 1,
    }
    write_text(audit, sys.stdout)
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"something leaks: {audit.datagrams} IAX2 datagrams, 1 dialog, 1 call listed",
        "  what the caller sends: digit-count in 1 dialog",
        "  what the callee sends: audio-gaps in 1 dialog, repeated-blocks in 1 dialog",
    ]
    assert directions(audited("f-register-qualify")) == []


def test_what_the_callee_alone_gives_away(tmp_path: Path) -> None:
    ours = [(True, mini(n)) for n in range(9)]
    theirs = [(False, mini(n, number=6)) for n in range(30, 36)]
    frames = [*theirs[:3], *ours, *theirs[3:]]
    capture = written(tmp_path, encrypted_call(*frames, elements=NEW_ELEMENTS[:1]))
    audit = audit_capture(capture)
    assert dict(audit.leaks_from) == {("callee", "audio-gaps"): 1}
    assert directions(audit)[0] == "what the caller sends: nothing leaks"
    assert "what the callee sends: audio-gaps in 1 dialog" in "".join(html_page(audit, "x"))
    assert cli.main(["audit", str(capture)]) == 1


def test_fields_in_clear_are_told_by_who_sent_them(tmp_path: Path) -> None:
    audit = audit_of(tmp_path, encrypted_call())
    assert {side for side, _ in audit.leaks_from} == {"caller"}
    (judged,) = audit.dialogs
    assert {f.side for f in judged.findings if f.code == "plaintext-method"} == {"callee"}


def test_f_a_registration() -> None:
    audit = audited("f-register-qualify")
    assert not audit.leaks
    assert [judged.seen.kind for judged in audit.dialogs] == [
        "registration",
        *["qualifying"] * 3,
    ]
    assert codes(audit, "weak") == {"md5-result"}
    assert "USERNAME in clear: reguser" in texts(audit, "public")


def test_g_secrets_that_differ() -> None:
    audit = audited("g-badsecret")
    assert not audit.leaks
    assert len(texts(audit, "secrets-differ")) == 1


def iax(subclass: IaxSubclass, elements: InformationElements, ours: int, theirs: int) -> bytes:
    data = elements.encode()
    return FullFrame(ours, theirs, 5, 0, 0, FrameType.IAX, subclass, data).encode()


def encrypted_call(
    *more: tuple[bool, bytes], elements: tuple[tuple[ElementType, Any], ...] = NEW_ELEMENTS
) -> list[Datagram]:
    """A set-up, by default one that tells everything, and what follows it each 20 ms."""
    ask = InformationElements.of(
        (ElementType.AUTHMETHODS, (3, 2)),
        (ElementType.CHALLENGE, "12345"),
        (ElementType.ENCRYPTION, (0x8001, 2)),
    )
    frames = [
        (True, iax(IaxSubclass.NEW, InformationElements.of(*elements), 5, 0)),
        (False, iax(IaxSubclass.AUTHREQ, ask, 6, 5)),
        (True, Sealer(bytes(16)).seal_full(b"\x80\x05\x00\x06" + bytes(42))),
        *more,
    ]
    return [
        Datagram(at * 20 * MS, *((NEAR, FAR) if near else (FAR, NEAR)), octets, len(octets))
        for at, (near, octets) in enumerate(frames)
    ]


def written(tmp_path: Path, datagrams: list[Datagram]) -> Path:
    path = tmp_path / "capture.pcap"
    with path.open("wb") as file:
        writer = PcapWriter(file)
        for datagram in datagrams:
            writer.write(datagram)
    return path


def audit_of(tmp_path: Path, datagrams: list[Datagram]) -> Audit:
    return audit_capture(written(tmp_path, datagrams))


def mini(fill: int, octets: int = 160, entropy: bytes = b"", number: int = 5) -> bytes:
    sealer = Sealer(bytes(16), lambda count: (entropy or bytes((fill,)) * count)[:count])
    return sealer.seal_mini(MiniFrame(number, fill, b"a" * octets).encode())


def test_what_new_tells(tmp_path: Path) -> None:
    audit = audit_of(tmp_path, encrypted_call())
    assert codes(audit) == {"dialed-number", "caller-number", "caller-name", "context", "variable"}
    assert texts(audit, "dialed-number") == ["the dialed number in clear in NEW: 4930123"]
    assert "plaintext-method" in codes(audit, "weak")


def test_equal_audio_shows(tmp_path: Path) -> None:
    same = b"e" * 32
    frames = [(True, mini(n, entropy=same)) for n in (0, 0, 0)]
    audit = audit_of(tmp_path, encrypted_call(*frames))
    assert "repeated-blocks" in codes(audit)


def test_sizes_and_pauses_show(tmp_path: Path) -> None:
    frames = [(True, mini(n, 160 if n < 5 else 40)) for n in range(9)]
    assert "audio-sizes" in codes(audit_of(tmp_path, encrypted_call(*frames)))
    frames = [(True, mini(n)) for n in range(9)]
    datagrams = encrypted_call(*frames)
    del datagrams[6:10]
    assert "audio-gaps" in codes(audit_of(tmp_path, datagrams))


def test_a_batch_of_frames_is_no_frame_of_another_size(tmp_path: Path) -> None:
    batch = b"".join(mini(n) for n in range(1, 4))
    audit = audit_of(tmp_path, encrypted_call((True, mini(0)), (True, batch)))
    (judged,) = audit.dialogs
    assert judged.seen.caller.audio_encrypted == 4
    assert set(judged.seen.caller.audio_sizes) == {194}
    assert "audio-sizes" not in codes(audit)
    stranger = batch[:194] + b"\0\x09" + batch[196:]
    audit = audit_of(tmp_path, encrypted_call((True, mini(0)), (True, stranger)))
    assert "audio-sizes" in codes(audit)


def test_a_call_whose_set_up_was_not_captured(tmp_path: Path) -> None:
    audit = audit_of(tmp_path, encrypted_call()[2:])
    assert not audit.leaks
    assert texts(audit, "all-encrypted") == [
        "what is seen is encrypted; the set-up is not in the capture"
    ]


def test_clear_frames_and_trunks_on_an_encrypted_call(tmp_path: Path) -> None:
    voice = FullFrame(5, 6, 9, 1, 1, FrameType.VOICE, 4, b"a" * 161).encode()
    audit = audit_of(tmp_path, encrypted_call((True, voice), (True, b"\0\0\1\1" + bytes(40))))
    assert {"clear-frames", "clear-audio", "meta-frames"} <= codes(audit)


def test_a_changed_key_shows(tmp_path: Path) -> None:
    rotate = Sealer(bytes(16)).seal_full(b"\x80\x05\x00\x06" + bytes(26))
    frames = [(True, mini(1)), (True, rotate), (True, mini(2))]
    assert "rotation" in codes(audit_of(tmp_path, encrypted_call(*frames)), "weak")


def test_the_table_of_dialogs_is_bounded(tmp_path: Path) -> None:
    pokes = [
        Datagram(n, (n.to_bytes(4, "big"), 4569), FAR, poke, len(poke))
        for n in range(1, OPEN_DIALOGS_MAX + 3)
        for poke in (iax(IaxSubclass.POKE, InformationElements(), 7, 0),)
    ]
    audit = audit_of(tmp_path, pokes)
    assert len(audit.dialogs) + audit.unreported == len(pokes)
    (note,) = audit.notes
    assert f"at most {OPEN_DIALOGS_MAX} dialogs are watched at a time: 2, silent longest" in note


def test_kinds_of_frames_in_clear_are_bounded(tmp_path: Path) -> None:
    kinds = [FullFrame(5, 6, 5, 0, 0, kind, 1, b"x").encode() for kind in range(100, 200)]
    audit = audit_of(tmp_path, encrypted_call(*((True, kind) for kind in kinds * 2)))
    (judged,) = audit.dialogs
    assert len(judged.seen.clear_after) == FIELDS_MAX + 1
    assert judged.seen.clear_after.total() == 200
    assert "72 of other kinds" in texts(audit, "clear-frames")[0]


def test_bursts() -> None:
    clock = [n * 60 * MS for n in range(26)]
    later = [clock[-1] + n * 500 * MS for n in range(1, 20)]
    dialing, in_call = bursts_of(clock + later)
    assert (dialing.frames, dialing.steady, dialing.is_envelope) == (26, True, True)
    assert (in_call.frames, in_call.steady) == (19, True)
    (hung_up,) = bursts_of([n * 500 * MS for n in range(8)] + [3_600 * MS])
    assert (hung_up.frames, hung_up.steady) == (9, True)
    pairs = [at for n in range(4) for at in (n * 350 * MS, n * 350 * MS + 100 * MS)]
    assert [burst.digits for burst in bursts_of(pairs)] == [4]
    assert bursts_of([0, MS, 2 * MS, 3 * MS]) == []


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", str(CAPTURES / "c-plain-22-22.pcap")]) == 1
    assert "leak    digits in clear: 5551234#" in capsys.readouterr().out
    assert cli.main(["audit", str(CAPTURES / "f-register-qualify.pcap")]) == 0
    assert "nothing leaks" in capsys.readouterr().out
    assert cli.main(["audit", str(tmp_path / "none.pcap")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_json_is_stable(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["audit", str(CAPTURES / "a-md5-22-22.pcap"), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["format"] == 1
    assert document["leaks"] is True
    assert document["leaks_from"] == {"caller": ["digit-count"], "callee": [], "call": []}
    (dialog,) = document["dialogs"]
    assert dialog["caller"]["address"] == "127.0.0.11:4569"
    assert dialog["caller"]["audio_encrypted"] == 626
    assert dialog["duration_s"] == pytest.approx(15.5, abs=0.1)
    assert set(dialog["findings"][0]) == {"severity", "code", "side", "text", "at_s"}


def test_the_page_is_self_contained_and_escapes_what_it_shows(tmp_path: Path) -> None:
    page = "".join(html_page(audit_of(tmp_path, encrypted_call((True, mini(1)))), "<x>.pcap"))
    assert "&lt;b&gt;Ann&lt;/b&gt;" in page
    assert "<b>Ann" not in page
    assert "<x>" not in page
    assert not re.search(r"https?:|<script|<link|url\(", page)
    (picture,) = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    drawing = ET.fromstring(picture)
    kinds = [element.get("class") for element in drawing.iter()]
    assert kinds.count("clear") == 2
    assert kinds.count("encrypted") == 1
    assert kinds.count("audio") == 1


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    page = str(tmp_path / "none" / "page.html")
    assert cli.main(["audit", str(CAPTURES / "g-badsecret.pcap"), "--html", page]) == 2


def test_a_configuration_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "siax.yaml"
    wrong.write_text("links: {}\n")
    capture = str(CAPTURES / "f-register-qualify.pcap")
    assert cli.main(["audit", capture, "--link", str(wrong)]) == 2
    assert "at least one link" in capsys.readouterr().err
