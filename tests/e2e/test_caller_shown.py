"""Who calls, from one phone through two bridges to the other: shown, asserted, or withheld."""

from collections.abc import Sequence
from pathlib import Path

from tests.lab.phone_call import PhoneCall
from tests.lab.results import record
from tests.lab.two_sites import CALLER, Sites, open_sites

QUICK = {"slots": 44, "slot_ms": 20, "start_ms": [0, 0], "terminator": "#"}
TELLS = {"caller_id": {"send": True}, "dialing": QUICK, "answer": "far-end"}
ASSERTED = "4930999888"
PAI = ("p-asserted-identity", f"<sip:+{ASSERTED}@pbx.example>")
EVERYBODY = ("127.0.0.0/8",)


async def shown(
    sites: Sites, caller: str = CALLER, extra: Sequence[tuple[str, str]] = ()
) -> PhoneCall:
    """What phone B is shown of a call that phone A places and gives up."""
    call = await sites.dial(caller=caller, extra=extra)
    far_call = await sites.called()
    await call.cancel()
    await call.status(200, 5)
    return far_call


async def test_who_calls_is_shown_to_the_phone_and_to_nobody_else(tmp_path: Path) -> None:
    async with open_sites(tmp_path, TELLS, caller_id=True) as sites:
        seen = await shown(sites)
        assert (seen.caller_user, seen.header("p-asserted-identity")) == (CALLER, "")
        assert (await shown(sites, extra=(PAI,))).caller_user == CALLER  # nobody is believed
        for caller, extra in (
            (CALLER, [("privacy", "id")]),
            (CALLER, [("privacy", "user;critical")]),
            ("anonymous", []),
        ):
            seen = await shown(sites, caller, extra)
            assert seen.caller_user == "anonymous"
            assert seen.header("from").startswith('"Anonymous" <sip:anonymous@anonymous.invalid>')
            assert seen.header("privacy") == ""
        for bridge in (sites.near, sites.far):
            assert ASSERTED not in bridge.output()


async def test_an_exchange_is_believed_and_told(tmp_path: Path) -> None:
    async with open_sites(tmp_path, TELLS, trust=EVERYBODY, caller_id=True) as sites:
        seen = await shown(sites, extra=(PAI,))
        assert seen.caller_user == ASSERTED
        assert seen.header("p-asserted-identity").startswith(f"<sip:{ASSERTED}@")
        seen = await shown(sites, extra=(PAI, ("privacy", "id")))
        assert seen.caller_user == "anonymous"
        assert (seen.header("p-asserted-identity"), seen.header("privacy")) == ("", "id")
        for bridge in (sites.near, sites.far):
            assert ASSERTED not in bridge.output()
        record("caller shown through two bridges", {"calls": 2})
