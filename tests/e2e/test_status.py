"""`siax status` asks a bridge that has a call: it says what happened on the link, and no number."""

import json
import socket
import stat
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from bridge.net.status_socket import SOCKET_NAME
from tests.lab.bridge_process import BridgeConfig, BridgeProcess, run_bridge
from tests.lab.engine_far_end import open_far_end
from tests.lab.phone import open_phone
from tests.lab.results import record
from tests.lab.scene import assert_nothing_left
from tests.lab.status_command import CONFIG, answer, siax_status

NUMBER = "5553816274"
CALLER = "448812"
TALK_S = 2.0
FRAMES_A_SECOND = 50


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answered:
        text: str = answered.read().decode()
        return text


def free_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def assert_encrypted_both_ways(seen: Mapping[str, Any], voice_frames: float) -> None:
    assert seen["verdict"] == {"grade": "good", "reason": "encrypted both ways"}
    assert seen["sent"]["voice_frames"] >= voice_frames
    assert seen["sent"]["full_frames"] > 26  # the dialing, and what set the call up
    assert seen["received"]["full_frames"] > 26  # its acknowledgements
    assert seen["sent"]["clear_frames"] == seen["received"]["clear_frames"] == 2
    assert not any(seen["received"]["dropped"].values())


async def test_a_call_as_it_was_seen(tmp_path: Path) -> None:
    state = trio.Path(tmp_path) / "state"
    async with open_far_end() as far, open_phone() as phone:
        metrics = f"127.0.0.1:{free_tcp_port()}"
        config = BridgeConfig(far.address, far.secret, overrides={"metrics": {"listen": metrics}})
        async with run_bridge(config, tmp_path, "debug") as bridge:
            with trio.fail_after(2):
                while not await (state / SOCKET_NAME).exists():  # noqa: ASYNC110 # another process makes it
                    await trio.sleep(0.01)
            assert stat.S_IMODE((await state.stat()).st_mode) == 0o700
            assert stat.S_IMODE((await (state / SOCKET_NAME).stat()).st_mode) == 0o600
            before = await answer(tmp_path)
            assert before["calls"] == []
            assert before["links"][0]["verdict"]["grade"] == "unseen"

            call = await phone.call(bridge.sip, f"9{NUMBER}", CALLER)
            call.audio.source = call.audio.marked
            await call.answered(5)
            await trio.sleep(TALK_S)
            during = await answer(tmp_path)
            (live,) = during["calls"]
            assert (live["state"], live["direction"], live["codec"]) == ("up", "to peer", "ulaw")
            assert live["cipher"] == "AES-128-CBC"
            assert 0 <= live["rtt_ms"] < 1000
            for key in (live["sending_key"], live["receiving_key"]):
                assert key["origin"] == "made from challenge and secret"
                assert TALK_S < key["age_s"] <= live["age_s"]
            assert during["links"][0]["reachability"] == "reachable"
            assert 0 <= during["links"][0]["rtt_ms"] < 1000
            assert_encrypted_both_ways(live, TALK_S * FRAMES_A_SECOND)
            assert_encrypted_both_ways(during["links"][0], TALK_S * FRAMES_A_SECOND)
            assert during["links"][0]["peer"] == far.address
            _, text, _ = await siax_status(tmp_path, CONFIG)
            assert f"call {live['call']} on hq: good, encrypted both ways" in text

            await call.bye()
            after = await answer(tmp_path)
            assert after["calls"] == []
            assert after["links"][0]["sent"]["voice_frames"] >= live["sent"]["voice_frames"]
            assert after["links"][0]["last_end"] == "ended by this side"
            figures = await trio.to_thread.run_sync(fetch, f"http://{metrics}/metrics")
            assert 'siax_link_grade{grade="good",link="hq"} 1.0' in figures
            everything = json.dumps([before, during, after]) + text + figures
            assert NUMBER not in everything
            assert CALLER not in everything
            await assert_errors_are_clear(bridge, tmp_path)
        assert_nothing_left(bridge)
    code, _, err = await siax_status(tmp_path, CONFIG)
    assert code == 2
    assert "no service is running" in err
    record("status: a call as it was seen", {"frames_sent": live["sent"]["voice_frames"]})


async def assert_errors_are_clear(bridge: BridgeProcess, folder: Path) -> None:
    """A wrong folder is told, and neither it nor a rude client does anything to the service."""
    code, _, err = await siax_status(folder, "--state-dir", str(folder / "secrets"))
    assert code == 2
    assert "no service is running with state_dir" in err
    rude = await trio.open_unix_socket(str(folder / "state" / "status.sock"))
    await rude.send_all(bytes(100_000))
    await trio.sleep(0.1)
    await rude.aclose()
    assert (await answer(folder))["calls"] == []
    assert bridge.process.returncode is None


async def test_a_service_without_its_socket_takes_calls_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (folder / SOCKET_NAME).mkdir()
    async with open_far_end() as far, open_phone() as phone:
        async with run_bridge(BridgeConfig(far.address, far.secret), tmp_path) as bridge:
            await bridge.logged("no status socket", 1)
            call = await phone.call(bridge.sip, f"9{NUMBER}")
            await call.answered(5)
            await call.bye()
        assert_nothing_left(bridge)


async def test_a_link_is_traced_as_asterisk_shows_it(tmp_path: Path) -> None:
    async with open_far_end() as far, open_phone() as phone:
        config = BridgeConfig(far.address, far.secret)
        for digits in (False, True):
            options = ["--trace", "hq", *["--trace-digits"] * digits]
            async with run_bridge(config, tmp_path, options=options) as bridge:
                call = await phone.call(bridge.sip, f"9{NUMBER}", CALLER)
                await call.answered(5)
                await call.bye()
            trace = bridge.stdout.decode()
            heads = [line for line in trace.splitlines() if "x-Frame" in line]
            dialed = [line.split()[-1] for line in heads if "Type: DTMF_E" in line]
            assert (heads[0][:2], heads[0].split()[-1]) == ("Tx", "NEW")
            assert (heads[1][:2], heads[1].split()[-1]) == ("Rx", "CALLTOKEN")
            assert dialed == (list(f"{NUMBER}#") if digits else ["•"] * (len(NUMBER) + 1))
            assert trace.count(" in clear\n") == 4
            assert trace.count(f" {far.address} encrypted\n") == len(heads) - 4
            assert CALLER not in bridge.output()
            assert far.secret not in bridge.output()
            assert NUMBER not in bridge.output()
