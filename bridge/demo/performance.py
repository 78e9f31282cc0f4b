"""The demo from curtain to curtain: the stage, the call, the verdict, and the end of everybody.

Owns the order of things and the exit code.
"""

import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import trio

from bridge.demo.audio import ToneEnd
from bridge.demo.call import FAR_END_DBM0, PHONE_DBM0, Cast, gather_evidence, play_call
from bridge.demo.eavesdropper import Eavesdropper
from bridge.demo.far_end import TONE_BEFORE_ECHO_S, FarEnd, FarEndCall
from bridge.demo.processes import run_bridge, run_phone
from bridge.demo.report import tell_audio, tell_far_end, tell_link, tell_log, tell_verdict
from bridge.demo.stage import HOST, LINK, PREFIX, DemoError, Stage, set_stage
from bridge.demo.story import Story
from bridge.demo.verdict import judge
from bridge.errors import BridgeError
from bridge.iax2 import User

EXIT_OK: Final = 0
EXIT_WRONG: Final = 1

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOG_ENTRIES_SHOWN: Final = 12


def play(*, hold: bool) -> int:
    """Play the demo; returns 0 when every claim of it holds.

    Args:
        hold: Leave the bridge up afterwards, for a softphone to call it.

    Raises:
        BridgeError: It cannot be played; the text says why.
    """
    if find_spec("pjsua2") is None:
        raise DemoError("pjsua2 is not installed: `make demo` builds it, or see README.md")
    performance = Performance(hold=hold)
    try:
        trio.run(performance.run)
    except BaseExceptionGroup as group:
        _raise_expected(group)
        raise
    return performance.exit_code


def _raise_expected(group: BaseExceptionGroup[BaseException]) -> None:
    """Raise a group's error on its own where all of them are meant for the user."""
    leaves = list(_leaves(group))
    if all(isinstance(leaf, BridgeError) for leaf in leaves):
        raise leaves[0] from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


class Performance:
    """One demo.

    Attributes:
        exit_code: Not 0 until the verdict says so.
    """

    def __init__(self, *, hold: bool) -> None:
        self.exit_code = EXIT_WRONG
        self._hold = hold
        self._story = Story()
        self._show = trio.CancelScope()

    async def run(self) -> None:
        """Play until the end, or until a signal comes; nothing is left running."""
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_on_signal, signals)
                with tempfile.TemporaryDirectory(prefix="siax-demo-") as folder:
                    await self._play(Path(folder))
                nursery.cancel_scope.cancel()

    async def _end_on_signal(self, signals: AsyncIterator[int]) -> None:
        await anext(signals)
        self._story.heading("Ending: the calls first, then the bridge")
        self._show.cancel()

    async def _play(self, folder: Path) -> None:
        story = self._story
        story.heading("The stage")
        story.line("a bridge, a phone and a far end are being started ...", "dim")
        async with self._set_up(folder) as cast:
            self._tell_stage(cast)
            story.heading("The call, as it happens")
            record = await play_call(cast)
            if not self._hold:
                await cast.bridge.stop()
            evidence = gather_evidence(cast, record, with_end=not self._hold)
            tell_link(story, evidence)
            tell_far_end(story, evidence)
            tell_audio(story, evidence)
            if tell_verdict(story, judge(evidence)):
                self.exit_code = EXIT_OK
            else:
                tell_log(story, cast.bridge.log[-_LOG_ENTRIES_SHOWN:])
            if self._hold:
                await self._keep_up(cast)

    @asynccontextmanager
    async def _set_up(self, folder: Path) -> AsyncIterator[Cast]:
        """Run everybody; the link lasts longest, so that the bridge can end its calls on it."""
        eavesdropper = Eavesdropper(HOST)
        async with trio.open_nursery() as link_nursery:
            await link_nursery.start(eavesdropper.run)
            stage = set_stage(folder, eavesdropper.address, well_known_port=self._hold)
            far_end = _far_end(stage)
            eavesdropper.far_end = far_end.address
            await link_nursery.start(far_end.run)
            with self._show:
                async with run_phone() as phone, run_bridge(stage.path) as bridge:
                    yield Cast(stage, far_end, eavesdropper, phone, bridge, self._story)
            link_nursery.cancel_scope.cancel()

    def _tell_stage(self, cast: Cast) -> None:
        stage, story = cast.stage, self._story
        example = f"{stage.example.parent.name}/{stage.example.name}"
        story.row("bridge", f"process {cast.bridge.process.pid}, SIP on {HOST}:{stage.sip_port}")
        story.row("", f"{example}, but for loopback addresses, free ports and a new secret")
        story.row("link", f"{LINK}: user {stage.link.username}, extension {stage.link.extension}")
        story.row("far end", "our own IAX2 engine, in the place of a PBX")
        story.row("between", "an eavesdropper who sees every packet of the link, without keys")

    async def _keep_up(self, cast: Cast) -> None:
        """Leave everything up for a softphone, and tell what it does, until a signal comes."""
        cast.eavesdropper.keeps = False
        cast.far_end.echoes = True
        story, port = self._story, cast.stage.sip_port
        story.heading("The bridge stays up: call it with a softphone on this machine")
        story.row("address", f"{HOST}, port {port}, UDP or TCP; no account, no password")
        story.row("codec", "PCMU or PCMA (G.711)")
        story.row("dial", f"sip:{PREFIX}5551234@{HOST}:{port}, or any digits behind the {PREFIX}")
        story.row("you hear", f"{TONE_BEFORE_ECHO_S:.0f} s of a 1004 Hz tone, then yourself")
        story.row("end", "Ctrl-C")
        story.heading("Calls")
        story.begin_clock(time.monotonic())
        cast.far_end.on_dialed = partial(_tell_dialed, story)
        cast.far_end.on_over = partial(_tell_over, story)
        await cast.bridge.ended.wait()
        raise DemoError("the bridge has ended by itself")


def _far_end(stage: Stage) -> FarEnd:
    link = stage.link
    return FarEnd(
        HOST,
        User(link.username, (stage.secret.encode(),)),
        link.extension,
        link.dialing.terminator,
        lambda: ToneEnd(FAR_END_DBM0, PHONE_DBM0),
    )


def _tell_dialed(story: Story, call: FarEndCall) -> None:
    story.step_now("far end", f"has received {call.digits}")


def _tell_over(story: Story, call: FarEndCall) -> None:
    story.step_now("far end", f"{call.end}, cause {call.cause}")
