"""The checks of some rows have been seen to fail: each is run against a product with a bug in it, and must complain."""

import pytest

from tests.faults import planted, test_exits, test_names, test_output, test_progress_over_http
from tests.faults.rig import Host

NOT_RAISED = pytest.fail.Exception


class PlantedHost(Host):
    """A host with the bug; it leaves in order when a check has failed, so that no worker is left."""

    def __init__(self, folder, workers, **settings):
        super().__init__(folder, workers, program="tests.faults.planted", **settings)

    def __exit__(self, kind, *rest):
        if kind is not None:
            self.process.stdin.close()
            self.process.stdout.read()
            self.process.wait()
        super().__exit__(kind, *rest)


def closed(folder):
    test_exits.test_a_closed_output_is_no_end_and_costs_nothing(folder)


def half_a_line(folder):
    test_output.test_a_last_line_without_newline_is_kept_and_stays_in_its_run(folder)


def no_text(folder):
    test_output.test_bytes_that_are_no_text_harm_no_line_beside_them(folder, "7")


def two_chunks(folder):
    test_output.test_a_character_that_comes_in_two_chunks_is_whole_in_its_line(folder)


def progress(folder):
    test_output.test_a_progress_bar_is_one_line_and_one_event_stays_one(folder, "1")


def progress_over_http(folder):
    test_progress_over_http.test_a_progress_bar_over_http_is_one_line_and_one_event_stays_one(folder)


def statuses(_):
    test_exits.test_each_exit_status_is_told_exactly()


def signals(_):
    test_exits.test_each_signal_is_told_exactly_and_by_its_name()


def two_names(folder):
    test_names.test_one_name_in_two_files(folder, "WEB")


CHECKS = [
    (signals, planted.a_death_by_signal_is_status_0, AssertionError),
    (signals, planted.a_signal_is_told_by_its_number, AssertionError),
    (statuses, planted.a_status_has_seven_bits, AssertionError),
    (closed, planted.the_end_of_the_output_ends_the_run, AssertionError),
    (closed, planted.a_pipe_that_has_ended_is_asked_for_ever, AssertionError),
    (half_a_line, planted.an_open_last_line_is_dropped, AssertionError),
    (half_a_line, planted.an_open_last_line_goes_on_in_the_next_run, AssertionError),
    (half_a_line, planted.the_end_of_a_run_is_not_marked, AssertionError),
    (no_text, planted.bytes_are_decoded_before_they_are_kept, AssertionError),
    (no_text, planted.what_follows_a_byte_that_is_no_text_is_lost, AssertionError),
    (no_text, planted.lone_surrogates_are_shown, TypeError),
    (two_chunks, planted.bytes_are_decoded_before_they_are_kept, AssertionError),
    (progress, planted.a_carriage_return_ends_a_line, AssertionError),
    (progress, planted.what_a_carriage_return_wrote_over_is_shown, AssertionError),
    (progress, planted.a_carriage_return_stands_in_the_frame, AssertionError),
    (progress_over_http, planted.a_carriage_return_ends_a_line, AssertionError),
    (progress_over_http, planted.what_a_carriage_return_wrote_over_is_shown, AssertionError),
    (progress_over_http, planted.a_carriage_return_stands_in_the_frame, AssertionError),
    (progress_over_http, planted.a_partial_line_is_another_line, AssertionError),
    (two_names, planted.names_that_differ_in_case_are_two, NOT_RAISED),
    (two_names, planted.the_other_place_is_not_named, AssertionError),
]


@pytest.mark.parametrize(("check", "bug", "complaint"), CHECKS, ids=lambda one: one.__name__)
def test_the_check_finds_the_bug(tmp_path, monkeypatch, check, bug, complaint):
    bug(monkeypatch.setattr)
    monkeypatch.setenv(planted.PLANTED, bug.__name__)
    for module in (test_exits, test_output):
        monkeypatch.setattr(module, "Host", PlantedHost)
    with pytest.raises(complaint) as caught:
        check(tmp_path)
    assert "the supervisor ended" not in str(caught.value)
