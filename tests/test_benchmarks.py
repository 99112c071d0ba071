"""The harness of `make bench`. Measured values are not asserted."""

import json

import pytest

from benchmarks import closed_loop
from benchmarks.__main__ import run
from benchmarks.closed_loop import address_of
from benchmarks.registry import Figure, Size, benchmark, benchmarks
from benchmarks.report import table, write_json
from benchmarks.servers import running_server

MET = Figure("met", 80.0, "ms", "lower", target=100.0, baseline=160.0, limit=40.0)
MISSED = Figure("missed", 80.0, "blocks/s", "higher", target=100.0)


def test_benchmarks_are_registered():
    assert set(benchmarks()) >= {"audio_get", "end_to_end_blocks", "first_byte"}


def test_names_of_benchmarks_are_unique():
    taken = next(iter(benchmarks()))

    with pytest.raises(ValueError, match=taken):
        benchmark(taken)(lambda size: [])


def test_the_file_has_every_field_of_every_figure(tmp_path):
    write_json(tmp_path / "build" / "bench.json", [MET, MISSED], Size.SHORT)

    first, second = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert first == {
        "name": "met",
        "value": 80.0,
        "unit": "ms",
        "target": 100.0,
        "better": "lower",
        "baseline": 160.0,
        "limit": 40.0,
        "size": "short",
    }
    assert second["baseline"] is None
    assert second["limit"] is None


def test_the_table_shows_ratios_and_missed_targets():
    heading, met, missed = table([MET, MISSED]).splitlines()

    assert heading.split()[:2] == ["figure", "value"]
    assert met.split() == ["met", "80", "ms", "<=", "100", "met", "160", "0.50", "40", "2.00"]
    assert missed.split()[-3:] == [">=", "100", "MISSED"]


def test_a_figure_without_a_target_is_neither_met_nor_missed():
    assert Figure("any", 1.0, "ms", "lower").is_met is None


def test_a_failed_benchmark_is_reported_and_the_next_one_runs(capsys):
    figures, failed = run(["no_such_thing", "neither"], Size.SHORT)

    assert figures == []
    assert failed == ["no_such_thing", "neither"]
    assert capsys.readouterr().out.count("KeyError") == 2


def test_a_closed_loop_counts_complete_responses():
    with running_server("benchmarks.stub_server", "http", "50000") as url:
        requests = [closed_loop.http_get("/")] * 3
        result = closed_loop.drive(address_of(url), requests, closed_loop.http_response(200), seconds=0.1)

    assert len(result.latencies) > 3
    assert result.rate > 0


def test_a_closed_loop_raises_on_another_status():
    with (
        running_server("benchmarks.stub_server", "http", "10") as url,
        pytest.raises(ConnectionError, match="not 304"),
    ):
        closed_loop.drive(
            address_of(url), [closed_loop.http_get("/")], closed_loop.http_response(304), seconds=0.1
        )
