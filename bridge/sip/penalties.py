"""How long a source that keeps failing to authenticate has to wait, in a bounded memory.

While a source waits, nothing it sends is judged: so it learns of one guess for each wait, however
many it makes at the same time, and a right guess among the others goes unnoticed.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

FREE_FAILURES: Final = 3
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 16.0
FORGIVEN_AFTER_S: Final = 60.0
"""Each so many seconds without one, a failure is forgotten."""
SOURCES_MAX: Final = 4096


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last_at: float = 0.0
    free_at: float = 0.0


class Penalties:
    """Failures by source: one IPv4 address, or one IPv6 /64."""

    def __init__(self, sources_max: int = SOURCES_MAX) -> None:
        self._sources_max = sources_max
        self._records: OrderedDict[str, _Record] = OrderedDict()  # the longest silent first

    def __len__(self) -> int:
        return len(self._records)

    def wait_s(self, host: str, now: float) -> float:
        """How long nothing of this address is judged; 0: it may try."""
        record = self._records.get(source_of(host))
        return max(0.0, record.free_at - now) if record else 0.0

    def fail(self, host: str, now: float) -> float:
        """Note a failure; how long its answer is to wait."""
        source = source_of(host)
        record = self._records.setdefault(source, _Record(last_at=now))
        self._records.move_to_end(source)
        if len(self._records) > self._sources_max:
            self._records.popitem(last=False)
        forgiven = int((now - record.last_at) / FORGIVEN_AFTER_S)
        record.failures = max(0, record.failures - forgiven) + 1
        record.last_at = now
        excess = record.failures - FREE_FAILURES
        if excess <= 0:
            return 0.0
        # 10 doublings are more than the longest wait has: no number grows beyond bounds.
        wait_s = min(FIRST_WAIT_S * (1 << min(excess - 1, 10)), LONGEST_WAIT_S)
        record.free_at = now + wait_s
        return wait_s


def source_of(host: str) -> str:
    """What counts as one source: a host owns at least a /64 of IPv6."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
