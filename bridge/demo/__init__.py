"""`siax demo`: a whole call around a real bridge, and a verdict on what the link tells of it.

A phone and the bridge run in processes of their own; the far end and the eavesdropper between
run here, in one trio loop. Everything stays on the loopback address.
"""


def run(*, hold: bool) -> int:
    """Play the demo; returns 0 when every claim of it holds, else 1.

    Args:
        hold: Leave the bridge up afterwards, for a softphone to call it.

    Raises:
        BridgeError: It cannot be played; the text says why.
    """
    from bridge.demo import performance  # noqa: PLC0415 - the phone's process needs none of it

    return performance.play(hold=hold)
