"""A histogram of durations."""

from __future__ import annotations

import pytest

from leveret.observe import BOUNDS, Exemplar, Histogram


def of(*seconds: float) -> Histogram:
    histogram = Histogram()
    for each in seconds:
        histogram.record(each)
    return histogram


def test_a_duration_is_in_the_first_bucket_whose_bound_it_does_not_exceed() -> None:
    histogram = of(0.0, BOUNDS[0], BOUNDS[0] * 1.01, 1e9)
    assert histogram.counts[0] == 2
    assert histogram.counts[1] == 1
    assert histogram.counts[-1] == 1
    assert histogram.count == 4


def test_the_mean_is_of_all_that_were_recorded() -> None:
    assert of(1.0, 3.0).mean == 2.0
    assert of().mean == 0.0


def test_a_quantile_is_inside_of_the_bucket_that_has_it() -> None:
    histogram = of(*[0.002] * 50, *[0.2] * 50)
    assert 0.001 < histogram.quantile(0.5) <= 0.002_5
    assert 0.1 < histogram.quantile(0.95) <= 0.25
    assert of().quantile(0.5) == 0.0
    assert of(0.000_1).quantile(0.5) <= BOUNDS[0]


def test_the_quantiles_of_one_duration_are_that_duration() -> None:
    assert [of(12.0).quantile(share) for share in (0.5, 0.95, 1.0)] == [12.0] * 3
    # Sums that a server tells may be untrue: the bucket is.
    odd = Histogram(counts=of(12.0).counts, total=1e9)
    assert odd.quantile(0.5) == 30.0


def test_of_what_is_longer_than_the_last_bound_no_more_is_known() -> None:
    assert of(1e9).quantile(0.5) == BOUNDS[-1]


def test_histograms_add_up_and_those_with_other_buckets_are_left_out() -> None:
    histogram, other = of(0.002), of(0.002, 3.0)
    histogram.add(other.counts, other.total)
    assert histogram.count == 3
    assert histogram.total == pytest.approx(3.004)
    histogram.add([], 0.0)
    histogram.add([1, 2], 9.0)
    assert histogram.count == 3


def exemplar(seconds: float, at: float) -> Exemplar:
    return Exemplar(seconds=seconds, trace_id="ab" * 16, span_id="cd" * 8, at=at)


def test_each_bucket_keeps_its_latest_exemplar() -> None:
    one, other = Histogram(), Histogram()
    for histogram, seconds, at in ((one, 0.02, 1.0), (one, 0.021, 2.0), (other, 0.022, 3.0)):
        histogram.record(seconds)
        histogram.exemplify(exemplar(seconds, at))
    one.exemplify(exemplar(9_000.0, 9.0))
    other.exemplify(exemplar(9_001.0, 4.0))
    one.merge(other)
    assert (one.count, other.count) == (3, 1)
    assert {bucket: kept.seconds for bucket, kept in one.exemplars.items()} == {
        BOUNDS.index(0.025): 0.022,
        len(BOUNDS): 9_000.0,
    }
