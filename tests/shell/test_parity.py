"""Which test speaks for which public item of the seed, and for which of its eight points; none may be without one."""

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent

ROWS = {
    "WithContext": [
        "test_seed_supervisor::test_cancel_pre_run",
        "test_seed_supervisor::test_cancel_post_run",
        "test_works::test_cancelling_run_waits_until_everyone_is_at_rest_and_raises",
        "test_works::test_cancelling_run_with_a_stuck_worker_raises_all_the_same",
        "test_seed_supervisor::test_wait_on_worker_started_after_shutdown",
    ],
    "Supervisor.Supervise": [
        "test_supervisor::test_a_name_in_use_is_refused",
        "test_supervisor::test_a_circle_is_refused_and_printed",
        "test_supervisor::test_a_name_at_rest_is_taken_over_and_its_runs_go_on",
        "test_seed_supervisor::test_supervise_after_run",
        "test_supervisor::test_handles_may_be_called_from_any_thread",
    ],
    "Supervisor.Run": [
        "test_seed_supervisor::test_normal_exit",
        "test_seed_supervisor::test_error_exit",
        "test_seed_supervisor::test_retry",
        "test_supervisor::test_errors_come_in_the_order_in_which_they_happened",
        "test_works::test_a_coroutine_that_swallows_cancellation_is_stuck_and_holds_nobody",
    ],
    "Supervisor.Shutdown": [
        "test_seed_supervisor::test_shutdown",
        "test_supervisor::test_a_worker_is_signalled_only_when_no_running_worker_requires_it",
    ],
    "Supervisor.Get": ["test_supervisor::test_get_finds_what_has_ended_and_nothing_else"],
    "Supervisor.Logger, Logger": [
        "test_process::test_words_are_one_call_of_the_logger_each",
        "test_process::test_the_default_logger_is_the_standard_one",
        "test_supervisor::test_the_lines_of_a_life_are_the_seeds",
    ],
    "Worker{Name, Work, Requires, Retry}": [
        "test_handles::test_a_worker_keeps_the_seeds_behaviour_by_default",
        "test_works::test_a_plain_function_has_a_thread_of_its_own_and_no_pool_limits_it",
        "test_supervisor::test_on_give_up_fail_leaves_the_others_alone",
        "test_supervisor::test_the_stop_timeout_runs_from_each_workers_own_signal",
    ],
    "Worker.Error": [
        "test_supervisor::test_an_error_is_known_to_the_worker_and_forgotten_when_it_starts_again",
        "test_supervisor::test_after_retries_and_a_normal_end_there_is_no_error",
    ],
    "Worker.Shutdown": [
        "test_seed_supervisor::test_worker_shutdown",
        "test_supervisor::test_one_worker_alone_is_held_by_those_that_require_it_and_says_so",
    ],
    "Worker.Wait": ["test_seed_supervisor::test_worker_wait", "test_supervisor::test_a_cancelled_wait_disturbs_nobody"],
    "Worker.Restart": [
        "test_seed_supervisor::test_restart",
        "test_supervisor::test_restart_is_for_those_that_have_ended",
    ],
    "Process.Supervisor, .Worker, .Context": [
        "test_process::test_a_process_knows_its_supervisor_worker_context_and_run"
    ],
    "Process.Ready": [
        "test_process::test_ready_starts_dependents_and_may_be_said_twice_and_too_late",
        "test_process::test_ready_from_a_thread",
    ],
    "Process.Shutdown": ["test_seed_supervisor::test_dependency", "test_process::test_ready_from_a_thread"],
    "Process.Do": [
        "test_seed_supervisor::test_do_panic",
        "test_process::test_do_returns_results_of_both_kinds_of_function",
        "test_process::test_do_returns_none_as_soon_as_the_signal_comes_and_cancels",
    ],
    "Process.DoClean": ["test_process::test_do_clean_returns_what_clean_returns"],
    "Process.Go": [
        "test_seed_supervisor::test_go",
        "test_process::test_children_are_counted_across_restarts_of_their_parent",
        "test_process::test_of_ended_children_the_last_twenty_are_kept",
    ],
    "Process.GoName": ["test_process::test_a_named_child_may_be_named_again_once_it_is_at_rest"],
    "Process.Log, .Logf": ["test_process::test_words_are_one_call_of_the_logger_each"],
    "Process.Debug, .Debugf": ["test_process::test_the_default_logger_is_the_standard_one"],
    "Process.Command": ["test_process::test_a_command_is_made_and_nothing_runs"],
    "Cmd": ["test_commands::test_the_attributes_may_be_set_before_the_start"],
    "Cmd.Start, .Wait, .Run": [
        "test_seed_commands::test_command_run",
        "test_seed_commands::test_command_run_logging",
        "test_commands::test_what_is_logged",
        "test_commands::test_a_command_that_fails_raises",
    ],
    "Cmd.Capture, .CaptureErr": [
        "test_seed_commands::test_capture_error",
        "test_seed_commands::test_capture_exit_error",
        "test_seed_commands::test_capture_input",
        "test_commands::test_capture_err_holds_both",
    ],
    "Cmd.MustCapture, .MustCaptureErr": [
        "test_seed_commands::test_must_capture",
        "test_commands::test_must_capture_raises",
    ],
    "Command(prefix, name, args...)": ["test_seed_commands::test_a_command_without_a_worker"],
    "Run(name, f)": ["test_supervisor::test_run_is_a_supervisor_for_one_function"],
    "MustRun(name, f)": ["test_supervisor::test_must_run_raises_all_errors_as_one_group"],
    "WorkFunc(fn, args...)": ["test_handles::test_work_func_binds_arguments_and_stays_what_it_is"],
    "point 1": ["test_points::test_point_1_a_shutdown_ends_the_back_off_at_once"],
    "point 2": ["test_points::test_point_2_the_back_off_doubles_up_to_its_limit_and_falls_back"],
    "point 3": ["test_points::test_point_3_a_worker_that_ignores_the_signal_holds_nobody"],
    "point 4": ["test_points::test_point_4_who_waits_says_for_what_and_moves_on_by_itself"],
    "point 5": ["test_points::test_point_5_nothing_runs_unless_something_happened"],
    "point 6": ["test_points::test_point_6_who_has_ended_is_remembered"],
    "point 7": ["test_points::test_point_7_what_dependents_do_when_a_requirement_crashes_is_a_choice"],
    "point 8": ["test_points::test_point_8_two_that_require_each_other_are_refused_at_once"],
}

SEED_TESTS = [
    "NormalExit",
    "ErrorExit",
    "PanicExit",
    "Dependency",
    "DependencyPanic",
    "ShutdownOnError",
    "ShutdownOnPanic",
    "Shutdown",
    "CancelPreRun",
    "CancelPostRun",
    "CancelTriggersShutdown",
    "Retry",
    "Go",
    "GoError",
    "GoPanic",
    "WorkerShutdown",
    "SuperviseAfterRun",
    "WorkerWait",
    "WaitOnWorkerStartedAfterShutdown",
    "DoPanic",
    "Restart",
    "MustCapture",
    "CaptureError",
    "CaptureExitError",
    "CaptureInput",
    "CommandRun",
    "CommandRunLogging",
]


def names_in(file: str) -> set[str]:
    tree = ast.parse((HERE / f"{file}.py").read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_has_its_tests(row):
    tests = ROWS[row]
    assert tests
    for test in tests:
        file, name = test.split("::")
        assert name in names_in(file), f"{row}: {test} is not there"


def test_the_table_is_whole():
    points = [row for row in ROWS if row.startswith("point ")]
    assert (len(ROWS) - len(points), len(points)) == (29, 8)


@pytest.mark.parametrize("seed_test", SEED_TESTS)
def test_each_test_of_the_seed_has_a_namesake(seed_test):
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in seed_test)
    assert f"test{words}" in names_in("test_seed_supervisor") | names_in("test_seed_commands")
