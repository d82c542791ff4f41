"""Are two samples of one distribution?"""
import math


def kolmogorov_smirnov(a, b):
    """The p-value of the two-sample test (asymptotic)."""
    points = sorted(set(a) | set(b))
    distance = max(abs(sum(x <= p for x in a) / len(a) - sum(x <= p for x in b) / len(b)) for p in points)
    root = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    t = (root + 0.12 + 0.11 / root) * distance
    return max(0.0, min(1.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * t * t) for k in range(1, 101))))
