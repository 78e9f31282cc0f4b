"""A limit on how often something is done, whoever asks for it."""


class RateLimit:
    """Lets `burst` through at once, and `per_s` a second in the long run.

    It keeps nothing about who asks, so strangers cannot make it grow.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = float(burst)
        self._at = 0.0

    def allows(self, now: float) -> bool:
        """Take one, where there is one left."""
        self._left = min(self._left + (now - self._at) * self._per_s, self._burst)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
