"""A flood of INVITEs from strangers: calls keep their audio, and a registered phone can call.

Load and far end are the bench's. The strangers are many addresses, none of them in `allow`.
"""

import random
import socket
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.bench.far_end_process import FarEndProcess
from tests.bench.gateways import SIP_PORT, BridgeGateway, Site
from tests.bench.load import LoadPlan, failures, run_load
from tests.bench.tools import build_tools
from tests.fuzz.sip_messages import good
from tests.lab.asterisk_config import IAX_PORT
from tests.lab.bridge_process import BridgeConfig, BridgeProcess, run_bridge
from tests.lab.phone import SipPhone, open_phone
from tests.lab.results import record, sized

RATE_PER_S: Final = sized(400, 2000)
SECONDS: Final = sized(3.0, 30.0)
CALLS: Final = sized(5, 50)
LOSS_MAX: Final = sized(0.05, 0.005)
"""Of few frames a small run cannot tell half a percent."""

STRANGERS: Final = 40
TICK_S: Final = 0.005
USER, PASSWORD = "desk", "a password of the desk phone"
NUMBER: Final = "5550000"
CALLED_WITHIN_S: Final = 10.0


@pytest.mark.alone
async def test_a_flood_of_invites_from_strangers(tmp_path: Path) -> None:
    tools, site = build_tools(), Site.free()
    network = site.phone.rpartition(".")[0]
    load = LoadPlan(CALLS, rate_per_s=25, window_s=SECONDS, settle_s=1.0)
    result: dict[str, Any] = {}
    with FarEndProcess(tools, site) as far_end:
        async with (
            run_bridge(_config(site), tmp_path) as bridge,
            open_phone(f"{network}.14") as phone,
            trio.open_nursery() as nursery,
        ):
            await phone.register(bridge.sip, USER, PASSWORD)
            begun = trio.Event()

            def watch(event: str) -> None:
                if event == "window_begin":
                    trio.from_thread.run_sync(begun.set)

            run = partial(run_load, tools, site.phone, f"{site.gateway}:{SIP_PORT}", load, watch)

            async def talk() -> None:
                result.update(await trio.to_thread.run_sync(run))

            nursery.start_soon(talk)
            await begun.wait()
            sent, answered_s = await _flood(network, bridge, phone)
        far_end.finish()
    media = result["media"]
    figures = {
        "invites": sent,
        "per_s": round(sent / SECONDS),
        "calls": CALLS,
        "frames": media["sent"],
        "lost_percent": round(100 * media["lost"] / media["sent"], 3),
        "registered_phone_answered_after_s": round(answered_s, 2),
    }
    record("flood of INVITEs", figures)
    assert not failures(result), failures(result)
    assert sent >= 0.9 * RATE_PER_S * SECONDS
    assert media["lost"] < LOSS_MAX * media["sent"], figures


async def _flood(network: str, bridge: BridgeProcess, phone: SipPhone) -> tuple[int, float]:
    """Floods the bridge; half-way the phone calls. How many were sent, and when it was answered."""
    sockets = [_bound(f"{network}.{100 + number}") for number in range(STRANGERS)]
    sent, begun_s = 0, trio.current_time()
    answered_s: list[float] = []

    async def call() -> None:
        await trio.sleep(SECONDS / 3)
        calling = await phone.call(bridge.sip, f"9{NUMBER}", USER)
        calling.credentials = (USER, PASSWORD)
        calling.audio.source = calling.audio.marked
        await calling.answered(CALLED_WITHIN_S)
        answered_s.append(calling.final_after_s())
        await calling.bye()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        while (elapsed_s := trio.current_time() - begun_s) < SECONDS:
            for _ in range(int(elapsed_s * RATE_PER_S) - sent):
                random.choice(sockets).sendto(good("INVITE", sent), bridge.sip)
                sent += 1
            await trio.sleep(TICK_S)
    for one in sockets:
        one.close()
    return sent, answered_s[0]


def _config(site: Site) -> BridgeConfig:
    sip = {"allow": [f"{site.phone}/32"], "phones": [{"user": USER, "password": PASSWORD}]}
    return BridgeConfig(
        f"{site.far_end}:{IAX_PORT}",
        site.secret,
        sip=(site.gateway, SIP_PORT),
        iax=(site.gateway, IAX_PORT),
        overrides={
            "links": {"codecs": ["ulaw"]},
            "sip": sip,
            "allow_inline_secrets": "true",
        },
    )


def _bound(host: str) -> socket.socket:
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.bind((host, 0))
    return stranger


@pytest.mark.alone
def test_concurrent_calls_are_held() -> None:
    """Their signalling and their constant-rate streams to the link; no phone nor far end talks.

    So they have to be up and over before `rtp_timeout_s`, 60 s. Audio both ways is the bench's: it
    takes about 0.9 ms of CPU for each call and second, which a core has for fewer calls than these.
    """
    tools, site = build_tools(), Site.free()
    count = sized(20, 1000)
    load = LoadPlan(
        count,
        rate_per_s=sized(20, 30),
        window_s=sized(1.0, 15.0),
        settle_s=sized(1.0, 4.0),
        media=False,
    )
    with FarEndProcess(tools, site, ["--sink"]) as far_end, BridgeGateway(site) as gateway:
        result = run_load(tools, site.phone, gateway.sip_address, load)
        left = gateway.finish()
        far = far_end.finish()
    figures = {
        "calls": count,
        "established": result["established"],
        "failed": sum(failures(result).values()),
        "complete_numbers": far["complete_numbers"],
    }
    record("concurrent calls", figures)
    assert not failures(result), failures(result)
    assert result["established"] == far["complete_numbers"] == count, figures
    assert not any(left.values()), left
