"""Hold as the far end hears it, and as the link shows it."""

from pathlib import Path

import trio

from tests.lab.flow import ENDS_WITHIN_S, FRAME_MS, gaps_ms, open_flow
from tests.lab.results import record, sized
from tests.lab.wav import FRAMES, wav


async def test_the_far_end_hears_music_while_the_phone_holds(tmp_path: Path) -> None:
    (tmp_path / "music.wav").write_bytes(wav(b"".join(FRAMES)))
    async with open_flow(tmp_path, sip={"hold_music": {"file": "music.wav"}}) as flow:
        call, far_call = await flow.talk()
        for held in ("sendonly", "inactive", "sendonly"):
            assert (await call.reinvite(held)).status == 200
            began = len(far_call.voice)
            await trio.sleep(sized(0.5, 5))
            heard = [voice.payload for voice in far_call.voice[began + 2 :]]
            assert len(heard) > 3
            first = FRAMES.index(heard[0])
            assert heard == [FRAMES[(first + at) % 3] for at in range(len(heard))]
            assert (await call.reinvite("sendrecv")).status == 200
            began = len(far_call.voice)
            await trio.sleep(0.3)
            after = [voice.payload for voice in far_call.voice[began + 2 :]]
            assert not set(after) & set(FRAMES)
            assert any(call.audio.number_of(payload) is not None for payload in after)
        assert (await call.reinvite("sendonly")).status == 200
        await call.bye()
        await far_call.wait_ended(ENDS_WITHIN_S)
        assert gaps_ms(far_call) == {FRAME_MS}
        assert {len(voice.payload) for voice in far_call.voice} == {160}
        record("flow: hold music", {"frames": len(far_call.voice), "gaps": 0})
