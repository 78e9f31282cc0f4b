"""IPv6: an IPv4 peer of a bridge that is bound to [::], and a call that knows no IPv4 at all."""

from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.config.secret import new_secret
from tests.lab.addresses import free_udp_port
from tests.lab.asterisk_config import EXTENSION, USERNAME
from tests.lab.bridge_process import BridgeConfig, run_bridge
from tests.lab.engine_far_end import open_far_end
from tests.lab.phone import open_phone
from tests.lab.results import record
from tests.lab.scene import assert_nothing_left
from tests.lab.sip_message import place_of
from tests.lab.two_sites import NOWHERE, next_call
from tests.lab.two_sites import NUMBER as FAR_NUMBER

NUMBER = "5553816274"
WITHIN_S = 30.0


async def test_an_ipv4_peer_is_called_from_a_socket_for_both_families(tmp_path: Path) -> None:
    async with open_far_end() as far, open_phone() as phone:
        config = BridgeConfig(far.address, far.secret, iax=("[::]", free_udp_port()))
        async with run_bridge(config, tmp_path) as bridge:
            await bridge.logged("the peer is reachable", WITHIN_S)
            call = await phone.call(bridge.sip, f"9{NUMBER}")
            await call.answered(WITHIN_S)
            far_call = await far.call(1, WITHIN_S)
            assert far_call.digits == f"{NUMBER}#"
            await call.bye()
            with trio.fail_after(WITHIN_S):
                await far_call.ended.wait()
    assert_nothing_left(bridge)


HOST = "::1"
TALKS_S = 2.0


def bridge_at(peer: str, secret: str, **overrides: Any) -> BridgeConfig:  # noqa: ANN401
    """One whose every socket is of IPv6, for phones at ::1."""
    sip, iax = (HOST, free_udp_port()), (f"[{HOST}]", free_udp_port())
    overrides["sip"] = {"allow": [f"{HOST}/128"], **overrides.get("sip", {})}
    return BridgeConfig(peer, secret, sip=sip, iax=iax, overrides=overrides)


@pytest.mark.parametrize("has_ipv4", [False, True], ids=["alone", "behind IPv4"])
async def test_phones_links_and_audio_over_ipv6(tmp_path: Path, *, has_ipv4: bool) -> None:
    """Also where the called phone's bridge listens by IPv4 first: audio is where SDP says."""
    secret = new_secret()
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
    async with open_phone(HOST) as phone_a, open_phone(HOST) as phone_b:
        accept = {"username": USERNAME, "secret": secret, "from": [f"{HOST}/128"]}
        hosts = ("127.0.0.1", HOST) if has_ipv4 else (HOST,)
        listen = [f"udp://{place_of(host, free_udp_port())}" for host in hosts]
        rings = f"sip:{{0}}@{place_of(*phone_b.address)}"
        takes = bridge_at(
            NOWHERE,
            new_secret(),
            allow_inline_secrets="true",
            sip={"listen": listen, "media_address": None},
            links={"accept": accept, "extension": EXTENSION},
            dialplan=[{"from": "hq", "match": r"27\d+", "to": rings}],
        )
        calls = bridge_at(place_of(HOST, takes.iax[1]), secret, links={"answer": "far-end"})
        async with (
            run_bridge(takes, tmp_path / "far", "debug") as far,
            run_bridge(calls, tmp_path / "near", "debug") as near,
        ):
            call = await phone_a.call(near.sip, f"9{FAR_NUMBER}")
            call.audio.source = call.audio.marked
            far_call = await next_call(phone_b)
            assert far_call.called_user == FAR_NUMBER
            await far_call.answer()
            await call.answered(WITHIN_S)
            await trio.sleep(TALKS_S)
            await call.bye()
            with trio.fail_after(WITHIN_S):
                await far_call.ended.wait()
    heard = [call.audio.report_from(far_call.audio), far_call.audio.report_from(call.audio)]
    (accepted,) = [seen.message for seen in call.responses if seen.message.status == 200]
    assert f"c=IN IP6 {HOST}\r\n" in accepted.body
    for report in heard:
        assert report.sent > 50
        assert report.lost <= 0.1 * report.sent, report
    for bridge in (near, far):
        assert_nothing_left(bridge)
        assert FAR_NUMBER not in bridge.output()
    record(
        f"IPv6 {'behind IPv4' if has_ipv4 else 'alone'}",
        {"frames": [report.sent for report in heard]},
    )
