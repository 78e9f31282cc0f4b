"""Proof: a large capture is audited in bounded memory, and a bar shows how far it is."""

import os
import pty
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import pack_into, unpack_from
from subprocess import Popen
from typing import Final

from tests.lab.bridge_process import ROOT
from tests.lab.hostile_capture import write_hostile
from tests.lab.results import record, sized

CAPTURE: Final = ROOT / "tests" / "vectors" / "captures" / "a-md5-22-22.pcap"
FILE_HEADER_OCTETS, RECORD_HEADER_OCTETS = 24, 16
CALLER, CALLEE = bytes((127, 0, 0, 11)), bytes((127, 0, 0, 12))
AT_ONCE: Final = 30
APART_S: Final = 20
MEGABYTE: Final = 1 << 20
LIMIT_MB: Final = 450
"""3,000 dialogs are kept, 2,000 open and 1,000 listed; the program takes some 60 MB."""

# The peak is the child's own: what wait4() tells would include that of the process it came from.
AUDIT: Final = """
import runpy, sys
sys.argv = ["siax", "audit", sys.argv[1]]
try:
    runpy.run_module("bridge", run_name="__main__", alter_sys=True)
finally:
    with open("/proc/self/status") as status, open(sys.argv[2] + ".peak", "w") as peak:
        peak.write(next(line for line in status if line.startswith("VmHWM")))
"""


def records() -> Iterator[bytes]:
    octets, at = CAPTURE.read_bytes(), FILE_HEADER_OCTETS
    while at < len(octets):
        end = at + RECORD_HEADER_OCTETS + int(unpack_from("<I", octets, at + 8)[0])
        yield octets[at:end]
        at = end


def write_calls(path: Path, calls: int) -> None:
    """Write so many calls of different peers, 30 at a time: their packets stand between others."""
    template = list(records())
    with path.open("wb") as file:
        file.write(CAPTURE.read_bytes()[:FILE_HEADER_OCTETS])
        for first in range(0, calls, AT_ONCE):
            pairs = [
                (bytes((127, 1, *divmod(call, 250))), bytes((127, 2, *divmod(call, 250))))
                for call in range(first, min(first + AT_ONCE, calls))
            ]
            for each in template:
                later = bytearray(each)
                pack_into("<I", later, 0, unpack_from("<I", each)[0] + first // AT_ONCE * APART_S)
                for caller, callee in pairs:
                    file.write(later.replace(CALLER, caller).replace(CALLEE, callee))


def audited(path: Path) -> tuple[str, str, float]:
    """Audit as an operator at a terminal does; return the text, the bar, and the peak in MB."""
    ours, its = pty.openpty()
    command = [sys.executable, "-c", AUDIT, str(path)]
    told = path.with_name(path.name + ".txt")
    with told.open("wb") as out, Popen(command, cwd=ROOT, stdout=out, stderr=its):
        os.close(its)
        drawn = b"".join(drawn_on(ours))
    os.close(ours)
    peak = path.with_name(path.name + ".peak").read_text()
    return told.read_text(), drawn.decode(), int(peak.split()[1]) * 1024 / MEGABYTE


def drawn_on(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 65_536)
        except OSError:  # the other end is closed
            return


def test_a_large_capture_in_bounded_memory(tmp_path: Path) -> None:
    calls, limit_mb = sized(60, 3_400), sized(90, LIMIT_MB)
    path = tmp_path / "large.pcap"
    write_calls(path, calls)
    size = path.stat().st_size
    text, bar, peak_mb = audited(path)
    path.unlink()
    assert f"{calls} dialogs" in text
    assert "it suggests 8 digits" in text
    shown = re.findall(r"reading .*?(\d+\.\d)/\d+\.\d ([MG])B", bar)
    assert len(set(shown)) >= sized(1, 10)
    assert peak_mb < limit_mb
    record(
        "a large capture",
        {"calls": calls, "octets": f"{size:,}", "peak_mb": round(peak_mb), "limit_mb": limit_mb},
    )


def test_hostile_dialogs_in_bounded_memory(tmp_path: Path) -> None:
    """Each fills every table of the audit, and there are more than it keeps."""
    dialogs, limit_mb = sized(30, 3_100), sized(90, LIMIT_MB)
    path = tmp_path / "hostile.pcap"
    write_hostile(path, dialogs)
    size = path.stat().st_size
    text, _, peak_mb = audited(path)
    path.unlink()
    assert f"{dialogs} dialogs" in text
    assert peak_mb < limit_mb
    record(
        "a hostile capture",
        {
            "dialogs": dialogs,
            "octets": f"{size:,}",
            "peak_mb": round(peak_mb),
            "limit_mb": limit_mb,
        },
    )
