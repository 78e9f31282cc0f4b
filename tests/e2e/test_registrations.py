"""Many phones register with a digest, by SIPp: memory stays flat, and one of them still rings."""

from pathlib import Path
from typing import Final

import trio

from bridge.config.secret import new_secret
from tests.bench.usage import pss_octets
from tests.lab import LabError
from tests.lab.addresses import free_iax_address
from tests.lab.asterisk_config import EXTENSION, IAX_PORT, USERNAME
from tests.lab.bridge_process import BridgeConfig, BridgeProcess, run_bridge
from tests.lab.phone import open_phone
from tests.lab.results import record, sized
from tests.lab.scene import assert_nothing_left
from tests.lab.two_sites import CALLER, DESK, DESK_PASSWORD, NOWHERE, NUMBER, next_call

PHONES: Final = sized(10, 10_000)
RATE_PER_S: Final = sized(20, 200)
ROUNDS: Final = 3
"""The first one fills the table of contacts, the second one caches; each renews every contact."""
GROWTH_MAX: Final = 16 << 20
SETTLES_S: Final = sized(0.0, 35.0)
"""PJSIP keeps what a transaction took for 32 s."""
ANSWERED_WITHIN_S: Final = 10.0
SIP_PORT: Final = 5060
# Where the first REGISTER was repeated, its answer comes twice.
SCENARIO: Final = """<?xml version="1.0" encoding="UTF-8" ?>
<scenario name="register">
{first}
  <recv response="401" auth="true"/>
{second}
  <recv response="401" optional="true"/>
  <recv response="200"/>
</scenario>
"""
REGISTER: Final = """<send retrans="500"><![CDATA[
REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:[field0]@[remote_ip]>;tag=[call_number]
To: <sip:[field0]@[remote_ip]>
Call-ID: [call_id]
CSeq: {cseq} REGISTER
Contact: <sip:[field0]@[local_ip]:[local_port]>
Expires: 600
{proof}Content-Length: 0

]]></send>"""


def _user(number: int) -> str:
    return f"phone-{number}"


def _password(number: int) -> str:
    return f"secret-of-{number}"


async def test_many_register_and_one_of_them_rings(tmp_path: Path) -> None:
    phones, at, secret = free_iax_address(), free_iax_address(), new_secret()
    _write_scenario(tmp_path)
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
    calls = BridgeConfig(f"{at}:{IAX_PORT}", secret, overrides={"links": {"answer": "far-end"}})
    async with (
        run_bridge(_taking(at, secret), tmp_path / "far") as far,
        run_bridge(calls, tmp_path / "near") as near,
        open_phone() as caller,
        open_phone() as desk,
    ):
        memory = [await _registered(tmp_path, far, phones) for _ in range(ROUNDS)]
        await desk.register(far.sip, DESK, DESK_PASSWORD)
        call = await caller.call(near.sip, f"9{NUMBER}", CALLER)
        far_call = await next_call(desk)
        assert far_call.called_user == DESK
        await far_call.answer()
        await call.answered(ANSWERED_WITHIN_S)
        await call.bye()
    assert_nothing_left(far)
    growth = memory[-1] - memory[1]
    figures = {"phones": PHONES, "per_s": RATE_PER_S, "rounds": ROUNDS}
    record("registrations", {**figures, "memory_growth_kb": growth // 1024})
    assert growth < GROWTH_MAX, memory


async def _registered(folder: Path, bridge: BridgeProcess, phones: str) -> int:
    """Let every phone register; what the bridge's memory takes then, in octets.

    Raises:
        LabError: One is not taken.
    """
    host, port = bridge.sip
    command = ["sipp", f"{host}:{port}", "-i", phones, "-p", str(SIP_PORT), "-nostdin"]
    command += ["-sf", "register.xml", "-inf", "phones.csv", "-m", str(PHONES)]
    command += ["-r", str(RATE_PER_S), "-l", str(PHONES), "-timeout", "300"]
    done = await trio.run_process(
        command, cwd=folder, check=False, capture_stdout=True, capture_stderr=True
    )
    if done.returncode != 0:
        raise LabError(f"SIPp: a phone was not registered:\n{done.stdout.decode()[-3000:]}")
    await trio.sleep(SETTLES_S)
    return pss_octets([bridge.pid])


def _write_scenario(folder: Path) -> None:
    sends = (REGISTER.format(cseq=1, proof=""), REGISTER.format(cseq=2, proof="[field1]\n"))
    (folder / "register.xml").write_text(SCENARIO.format(first=sends[0], second=sends[1]))
    known = [
        f"{_user(n)};[authentication username={_user(n)} password={_password(n)}]"
        for n in range(PHONES)
    ]
    (folder / "phones.csv").write_text("\n".join(["SEQUENTIAL", *known, ""]))


def _taking(at: str, secret: str) -> BridgeConfig:
    users = [{"user": _user(n), "password": _password(n)} for n in range(PHONES)]
    desk = {"user": DESK, "password": DESK_PASSWORD}
    taken = {"username": USERNAME, "secret": secret, "from": ["127.0.0.0/8"]}
    return BridgeConfig(
        NOWHERE,
        new_secret(),
        sip=(at, SIP_PORT),
        iax=(at, IAX_PORT),
        overrides={
            "allow_inline_secrets": "true",
            "sip": {"digest": ["md5"], "phones": [*users, desk]},  # SIPp knows nothing better
            "links": {"accept": taken, "extension": EXTENSION},
            "dialplan": [{"from": "hq", "match": r"27\d+", "to": f"phone:{DESK}"}],
        },
    )
