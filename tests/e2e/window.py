"""The limit as a provider counts it: in any window of so many seconds at most so many requests."""


def fullest(times, seconds):
    """The most arrivals that any half-open window of this length holds; times are in microseconds."""
    times = sorted(times)
    most, first = 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= seconds * 1_000_000:
            first += 1
        most = max(most, last - first + 1)
    return most


def overruns(arrivals, limits):
    """Windows that hold too many, in words; and how full the fullest one of each limit was."""
    found, filled = [], {}
    for provider, windows in limits.items():
        times = [each["at_microseconds"] for each in arrivals if each["provider"] == provider]
        for requests, seconds in windows:
            most = fullest(times, seconds)
            filled[provider, seconds] = f"{most} of {requests}"
            if most > requests:
                found.append(f"{provider}: {most} requests in {seconds} s, allowed are {requests}")
    return found, filled


def check_itself():
    second = 1_000_000
    assert fullest([], 60) == 0
    assert fullest([0, 60 * second], 60) == 1
    assert fullest([0, 60 * second - 1], 60) == 2
    assert fullest([5, 4, 3 * second, 2], 1) == 3
    arrivals = [{"provider": "a", "at_microseconds": at} for at in (0, 1, 2)]
    assert overruns(arrivals, {"a": [(2, 1)]})[0] and not overruns(arrivals, {"a": [(3, 1)], "b": [(1, 1)]})[0]
