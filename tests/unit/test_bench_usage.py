"""What the bench reads of processes, tried on this one."""

import os
import socket
import subprocess
import time

import pytest

from tests.bench.load import LoadPlan, failures
from tests.bench.usage import Usage, cpu_s, open_files, private_octets, process_tree, pss_octets


def test_cpu_clock_of_a_process_is_the_one_it_reads_itself() -> None:
    before = time.process_time()
    seen = cpu_s([os.getpid()])
    assert before <= seen <= time.process_time()


def test_usage_advances_with_work() -> None:
    begin = Usage.now(os.getpid())
    sum(range(100_000))
    end = Usage.now(os.getpid())
    assert end.cpu_s > begin.cpu_s
    assert end.at_s > begin.at_s


def test_children_belong_to_the_tree() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        tree = process_tree(os.getpid())
        assert tree[0] == os.getpid()
        assert child.pid in tree
        child.communicate()


def test_a_socket_is_counted_while_it_is_open() -> None:
    before = open_files([os.getpid()])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
        during = open_files([os.getpid()])
    after = open_files([os.getpid()])
    assert (during.all, during.sockets) == (before.all + 1, before.sockets + 1)
    assert after == before


def test_memory_counts_octets() -> None:
    assert pss_octets([os.getpid()]) > 1_000_000
    assert 1_000_000 < private_octets(os.getpid()) <= pss_octets([os.getpid()])


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (LoadPlan(2, 10, hold_s=1.5), ["--hold", "1.5"]),
        (LoadPlan(2, 10, window_s=20, settle_s=3), ["--window", "20", "--settle", "3"]),
        (LoadPlan(2, 10, hold_s=1, media=False), ["--hold", "1", "--no-media"]),
        (LoadPlan(2, 10, hold_s=1, connected=True), ["--hold", "1", "--connected"]),
    ],
)
def test_a_plan_becomes_the_load_generators_arguments(plan: LoadPlan, expected: list[str]) -> None:
    assert plan.arguments() == ["--calls", "2", "--rate", "10", *expected]


def test_failures_leave_out_what_went_well() -> None:
    assert failures({"endings": {"normal": 7, "refused": 0, "early_bye": 2}}) == {"early_bye": 2}
