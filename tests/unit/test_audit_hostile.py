"""Hostile captures: one kind of error or a note, whatever stands in the file."""

import io
import tracemalloc
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest

from bridge.audit import CaptureError, decrypt_capture
from bridge.audit.audit import DIALOGS_REPORTED_MAX, Audit, audit_capture
from bridge.audit.capture import CaptureReader
from bridge.audit.dialogs import OPEN_DIALOGS_MAX
from bridge.audit.findings import ALIKE_MAX
from bridge.audit.memory import BLOCKS_MAX
from bridge.audit.observing import (
    FIELD_TEXTS_MAX,
    FIELDS_MAX,
    MARKS_MAX,
    ROTATIONS_MAX,
    RUNS_MAX,
    SIGNALS_MAX,
    SIZES_MAX,
    Observed,
)
from bridge.audit.page import html_page
from bridge.audit.report import write_json, write_text
from tests.lab.hostile_capture import write_hostile
from tests.lab.results import is_full, record, sized

CAPTURES = Path(__file__).parents[1] / "vectors" / "captures"
PACKETS_KEPT = 60
PARTS = 10
WORKERS = 4
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
MEGABYTE = 1 << 20
TABLES_MB = 300
"""What all dialogs together may take; the program takes some 60 MB, and the limit is 450."""


def seeds() -> list[bytes]:
    """The set-up and dialing of a call, a registration, and a call that failed."""
    long, *short = (
        (CAPTURES / f"{name}.pcap").read_bytes()
        for name in ("a-md5-22-22", "f-register-qualify", "g-badsecret")
    )
    end = 24
    for _ in range(PACKETS_KEPT):
        end += 16 + int.from_bytes(long[end + 8 : end + 12], "little")
    return [long[:end], *short, as_pcapng(long[:end])]


def as_pcapng(pcap: bytes) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        length = (len(body) + 12).to_bytes(4, "little")
        return kind.to_bytes(4, "little") + length + body + length

    section = bytes.fromhex("4d3c2b1a01000000") + b"\xff" * 8
    parts = [block(0x0A0D0D0A, section), block(1, pcap[20:22] + bytes(6))]
    at = 24
    while at < len(pcap):
        size = pcap[at + 8 : at + 12]
        end = at + 16 + int.from_bytes(size, "little")
        parts.append(block(6, bytes(12) + size + size + pcap[at + 16 : end]))
        at = end
    return b"".join(parts)


def mutated(seed: bytes, random: Random) -> bytes:
    octets = bytearray(seed)
    for _ in range(random.randint(1, 12)):
        at = random.randrange(len(octets))
        match random.randrange(5):
            case 0:
                octets[at] ^= 1 << random.randrange(8)
            case 1:
                octets[at] = random.choice(INTERESTING)
            case 2:
                del octets[at : at + random.randint(1, 40)]
            case 3:
                octets[at:at] = random.randbytes(random.randint(1, 40))
            case _:
                octets[at : at + 4] = random.choice((b"\xff" * 4, bytes(4), random.randbytes(4)))
        if len(octets) < 2:
            break
    return bytes(octets[: random.randrange(len(octets))] if random.random() < 0.1 else octets)


def refused_of(part: int, times: int, folder: Path) -> int:
    """Audit so many mutated captures, report and decrypt each tenth; count those refused."""
    random, originals = Random(f"20261126 {part}"), seeds()
    refused = 0
    path, output = folder / f"mutated-{part}", folder / f"clear-{part}"
    for number in range(times):
        path.write_bytes(mutated(originals[number % len(originals)], random))
        try:
            audit = audit_capture(path)
            if number % 10 == part % 10:
                for write in (write_json, write_text):
                    write(audit, io.StringIO())
                "".join(html_page(audit, "mutated"))
                decrypt_capture(path, [b"s3cr3t-md5", b"WRONG"], output, force=True)
        except CaptureError:
            refused += 1
    return refused


def test_mutated_captures(tmp_path: Path) -> None:
    times = sized(100, 100_000)
    if is_full():
        with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
            parts = [pool.submit(refused_of, part, times, tmp_path) for part in range(PARTS)]
            refused = sum(part.result() for part in parts)
    else:
        refused = sum(refused_of(part, times, tmp_path) for part in range(PARTS))
    mutations = PARTS * times
    assert refused < mutations / 2, "most mutations do not even reach the frames"
    record(
        "mutated captures",
        {
            "audited": mutations,
            "decrypted_and_reported": mutations // 10,
            "refused": refused,
            "tracebacks": 0,
        },
    )


def test_pcapng_of_a_seed_holds_the_same_packets(tmp_path: Path) -> None:
    original, *_, converted = seeds()
    packets = []
    for octets in (original, converted):
        (tmp_path / "seed").write_bytes(octets)
        with CaptureReader(tmp_path / "seed") as reader:
            packets.append([packet.octets for packet in reader])
            assert reader.notes == []
    assert len(packets[0]) == PACKETS_KEPT
    assert packets[0] == packets[1]


def traced(path: Path, dialogs: int) -> tuple[Audit, int, int]:
    """Audit so many hostile dialogs; return the octets that stay, and the most there were."""
    write_hostile(path, dialogs)
    tracemalloc.start()
    try:
        audit = audit_capture(path)
        return audit, *tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


def test_dialogs_that_fill_every_table_take_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: list[tuple[int, ...]] = []

    def forget(seen: Observed) -> None:
        tables.extend(
            (len(s.blocks), len(s.signals_ns), len(s.rotations_ns), len(s.runs_ns) // 2)
            for s in (seen.caller, seen.callee)
        )
        original(seen)

    original = Observed.forget
    monkeypatch.setattr(Observed, "forget", forget)
    _, few_stay, few_most = traced(tmp_path / "few", 1)
    audit, stay, most = traced(tmp_path / "more", 3)
    assert set(tables) == {(BLOCKS_MAX, SIGNALS_MAX, ROTATIONS_MAX, RUNS_MAX)}
    for judged in audit.dialogs:
        seen = judged.seen
        assert len(seen.clear_after) == FIELDS_MAX
        assert FIELD_TEXTS_MAX - 300 < seen.texts <= FIELD_TEXTS_MAX
        assert MARKS_MAX / 2 < len(seen.timeline) <= MARKS_MAX
        assert len(seen.caller.audio_sizes) == SIZES_MAX
        kinds = Counter((finding.code, finding.side) for finding in judged.findings)
        assert max(kinds.values()) == ALIKE_MAX + 1
    is_open, is_listed = (most - few_most) / 2, (stay - few_stay) / 2
    all_octets = OPEN_DIALOGS_MAX * is_open + DIALOGS_REPORTED_MAX * is_listed
    assert all_octets < TABLES_MB * MEGABYTE, (is_open, is_listed)
