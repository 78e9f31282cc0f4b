"""A bridge that is bound to [::] calls a peer that has an IPv4 address alone."""

from pathlib import Path

import trio

from tests.lab.addresses import free_udp_port
from tests.lab.bridge_process import BridgeConfig, run_bridge
from tests.lab.engine_far_end import open_far_end
from tests.lab.phone import open_phone
from tests.lab.scene import assert_nothing_left

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
