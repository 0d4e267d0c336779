"""How many looks make it count. Pure: no clock, no loop; the names and the counting are those of Kubernetes.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Probe
"""


class Judge:
    """Counts looks in a row. `standing` is None until a threshold was reached, then whether it passes."""

    def __init__(self, success: int, failure: int, standing: bool | None = None) -> None:
        self._success, self._failure = success, failure
        self.standing = standing
        self.passed = standing is not None
        """Whether it has ever passed, as far as is known."""
        self.last: bool | None = None
        self.in_a_row = 0

    def take(self, good: bool) -> bool | None:
        """Counts one look; gives the new standing where that changed with it, else None."""
        self.in_a_row = self.in_a_row + 1 if good is self.last else 1
        self.last = good
        needed = self._success if good else self._failure
        if self.standing is good or self.in_a_row < needed:
            return None
        self.standing = good
        self.passed |= good
        return good
