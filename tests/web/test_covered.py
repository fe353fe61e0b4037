"""Every attack of the list of bad inputs is tried: by rows of the catalogue, or by tests that are named here.

A to M are the list's parts: transport, JSON, methods, documents, values, batches, closings, tokens, tenants, sockets,
errors and logs, storage, resources.
"""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.web.catalogue import ROWS

TESTS = Path(__file__).parents[1]
COUNTS = dict(zip("ABCDEFGHIJKLM", (31, 24, 22, 39, 38, 38, 26, 34, 21, 28, 15, 12, 12), strict=True))
"""How many attacks each part has."""

NOT_OURS = {
    "E18": "a currency's minor units don't limit amounts",
    "F08": "accounts have no states",
    "F12": "numbers are of batch items alone",
    "F38": "accounts have no states",
    "G18": "a division's time zone is settled when it is made",
    "H28": "tokens are not withdrawn one by one: they end, and keys are withdrawn",
    "H30": "there are no API keys",
    "H31": "there are no API keys",
    "I12": "no header names a tenant: only the token does",
    "I21": "no export, and no metrics, have a tenant's data",
    "L03": "no filter takes a pattern",
}
"""Attacks on what the gateway does not have, and why."""

ROW = "row "
TRIED: Mapping[str, str] = {
    "A25": "web/test_connections.py::test_who_does_not_finish_a_head_is_dropped",
    "A26": "web/test_sockets.py::test_a_body_that_never_ends_is_given_up",
    "A27": "web/test_connections.py::test_who_does_not_read_its_answers_is_dropped",
    "A28": "web/test_connections.py::test_too_many_connections_are_told_so_and_the_next_ones_answered",
    "A29": "web/test_connections.py::test_ten_thousand_requests_on_one_connection_are_answered_and_leave_nothing",
    "A30": "graphql/test_cancelling.py::test_postgresql_cancels_the_statement",
    "A31": "graphql/test_idempotency.py::test_a_request_that_was_broken_off_at_any_moment_is_done_once_by_its_retry",
    "C19": "web/test_cors.py::test_other_origins_are_told_nothing",
    "D29": "web/test_production.py::test_no_name_is_suggested",
    "E07": ROW + "E05 '１２' as Decimal",
    "E11": "graphql/test_long_values.py::test_a_number_of_a_hundred_thousand_digits_is_refused_and_not_repeated",
    "E16": "graphql/test_filters_and_pages.py::test_totals_are_exact_for_each_currency",
    "E20": ROW + "E19 '2026-W01' as DateTime",
    "E21": ROW + "E19 '2026-01-01T24:00:00Z' as DateTime",
    "E23": ROW + "E19 '0001-01-01T00:00:00+14:00' as DateTime",
    "E25": ROW + "E19 '2026-01-01T00:00:00.1234567Z' as DateTime",
    "E26": ROW + "E19 '2026-01-01 00:00:00Z' as DateTime",
    "E28": ROW + "G01 '24:00:00' as a closing time",
    "E29": ROW + "G01 '22:00:00Z' as a closing time",
    "E34": ROW + "F14 a zero-width space",
    "E37": ROW + "F14 a line break",
    "F13": "graphql/test_tenancy.py::test_a_number_is_used_once_in_each_unit",
    "F16": "graphql/test_concurrency.py::test_64_batches_at_once_accept_each_number_once",
    "F17": "faults/test_crowds.py::test_batches_over_the_same_accounts_in_opposite_orders_are_all_answered",
    "F18": "graphql/test_idempotency.py::test_a_repeated_mutation_is_answered_alike_and_does_nothing_again",
    "F19": "graphql/test_idempotency.py::test_another_request_with_a_known_key_is_refused_and_does_nothing",
    "F20": "graphql/test_idempotency.py::test_who_waits_too_long_for_the_same_key_is_told_of_the_conflict",
    "F21": "graphql/test_idempotency.py::test_keys_of_two_callers_are_two_keys",
    "F23": "graphql/test_idempotency.py::test_a_key_is_forgotten_after_a_day_and_then_is_new",
    "F24": "faults/test_kills.py::test_a_kill_at_each_place_of_a_batch",
    "F29": "graphql/test_cancelling.py::test_a_mutation_that_is_not_waited_for_is_done_all_the_same",
    "F30": ROW + "F02 one too many",
    "F31": "faults/test_networks_fail.py::test_a_commit_that_the_network_swallows_is_unknown_and_its_key_tells",
    "F35": "graphql/test_idempotency.py::test_what_is_read_is_read_now_and_what_was_done_is_told_as_it_was",
    "F37": "graphql/test_idempotency.py::test_sixteen_at_once_with_one_key_do_it_once",
    "G07": "domain/test_cycles.py::test_a_closing_time_in_a_gap_means_the_first_instant_after_it",
    "G08": "domain/test_cycles.py::test_a_closing_time_that_occurs_twice_means_its_first_occurrence",
    "G09": "domain/test_cycles.py::test_a_day_whose_end_is_in_a_gap_keeps_its_business_date",
    "G10": "domain/test_cycles.py::test_around_every_change_of_every_zone_each_day_closes_once_and_in_order",
    "G11": "domain/test_cycles.py::test_a_day_that_the_zone_skips_has_no_closing",
    "G12": "domain/test_cycles.py::test_splitting_an_interval_anywhere_changes_nothing",
    "G13": "domain/test_cycles.py::test_an_interval_is_open_at_its_start_and_closed_at_its_end",
    "G14": "domain/test_cycles.py::"
    "test_what_closed_at_the_first_of_two_occurrences_does_not_close_again_before_the_second",
    "G15": "domain/test_histories.py::test_where_a_delay_shrinks_a_closing_waits_for_the_older_one",
    "G16": "store/test_closings.py::test_a_late_entry_shows_in_the_next_row_and_changes_none",
    "G17": "domain/test_histories.py::test_each_closing_is_due_by_the_delay_of_the_one_that_governs_it",
    "G19": "domain/test_histories.py::test_after_downtime_the_missed_closings_are_due_oldest_first",
    "G20": "faults/test_clocks.py::test_closings_under_a_clock_that_jumps_are_neither_lost_nor_done_twice",
    "G21": "faults/test_runners.py::test_runners_at_once_share_the_work_and_double_nothing",
    "G22": "faults/test_runners.py::test_a_runner_that_is_killed_leaves_nothing_undone_and_nothing_double",
    "G23": "domain/test_cycles.py::test_around_every_change_of_every_zone_the_next_closing_is_the_first_strictly_after",
    "G24": "faults/test_crowds.py::test_divisions_that_all_close_at_one_instant_hold_nobody_up",
    "G25": "store/test_closings.py::test_an_account_made_after_the_closing_instant_has_no_part_in_it",
    "G26": "store/test_closings.py::test_a_closing_that_is_not_complete_is_not_listed_and_is_left_to_its_holder",
    "H01": "web/test_auth.py::test_what_is_no_bearer_token_is_refused",
    "H02": "web/test_auth.py::test_a_token_that_is_not_what_it_should_be_is_refused_and_not_repeated",
    "H03": "web/test_auth.py::test_a_public_key_takes_tokens_of_its_own_kind_alone",
    "H04": "web/test_jwks.py::test_weak_keys_and_published_secrets_are_good_for_nothing",
    "H05": "web/test_jwks.py::test_a_token_of_a_kind_that_its_key_is_not_of_is_refused",
    "H06": "web/test_auth.py::test_a_claim_that_does_not_hold_is_refused",
    "H07": "web/test_auth.py::test_a_claim_that_holds_is_taken",
    "H08": "web/test_auth.py::test_a_claim_that_does_not_hold_is_refused",
    "H09": "web/test_auth.py::test_a_claim_that_does_not_hold_is_refused",
    "H10": "web/test_auth.py::test_an_expiry_that_is_no_instant_at_all_is_refused",
    "H11": "web/test_auth.py::test_a_claim_that_does_not_hold_is_refused",
    "H12": "web/test_auth.py::test_without_a_set_issuer_any_is_taken_and_without_an_audience_none",
    "H13": "web/test_auth.py::test_a_claim_that_does_not_hold_is_refused",
    "H14": "web/test_auth.py::test_a_claim_that_does_not_hold_is_refused",
    "H15": "web/test_auth.py::test_a_token_that_is_not_what_it_should_be_is_refused_and_not_repeated",
    "H16": "web/test_auth.py::test_a_token_that_is_not_what_it_should_be_is_refused_and_not_repeated",
    "H17": "web/test_auth.py::test_where_a_type_is_set_no_other_is_taken",
    "H18": "web/test_auth.py::test_a_token_that_is_not_what_it_should_be_is_refused_and_not_repeated",
    "H19": "web/test_auth.py::test_a_key_that_the_token_brings_along_or_points_to_is_passed_over",
    "H20": "web/test_auth.py::test_a_token_that_is_not_what_it_should_be_is_refused_and_not_repeated",
    "H21": "web/test_jwks.py::test_a_thousand_unknown_names_make_one_reading_in_each_cool_down",
    "H22": "web/test_jwks.py::test_an_issuer_that_does_not_answer_is_waited_for_two_seconds_at_most",
    "H23": "web/test_jwks.py::test_keys_change_over",
    "H24": "web/test_jwks.py::test_one_broken_key_takes_no_other_with_it",
    "H25": "web/test_auth.py::test_a_token_that_is_not_what_it_should_be_is_refused_and_not_repeated",
    "H26": "web/test_auth.py::test_a_token_that_is_not_what_it_should_be_is_refused_and_not_repeated",
    "H27": "web/test_auth.py::test_a_key_that_is_none_or_too_weak_is_refused_and_not_repeated",
    "H29": "web/test_gateways_with_keys.py::test_a_token_in_the_address_is_passed_over",
    "H32": "web/test_gateways_with_keys.py::test_an_expired_token_is_refused_on_a_connection_that_is_kept",
    "H33": "web/test_auth.py::test_a_claim_that_holds_is_taken",
    "H34": ROW + "D16 101 aliases",
    "I01": "graphql/test_tenancy.py::test_foreign_objects_are_no_nodes",
    "I02": "graphql/test_tenancy.py::test_an_id_of_another_type_or_of_no_size_is_no_account",
    "I03": "graphql/test_tenancy.py::test_a_malformed_id_is_nothing",
    "I04": "graphql/test_execution.py::test_loaders_of_two_operations_share_nothing",
    "I05": "graphql/test_tenancy.py::test_nodes_keep_their_length_and_order_around_what_is_foreign",
    "I06": "graphql/test_scopes.py::test_listeners_with_other_rights_are_answered_apart_about_one_event",
    "I07": "graphql/test_tenancy.py::test_filters_by_what_is_foreign_find_nothing",
    "I08": "graphql/test_tenancy.py::test_lists_counts_and_totals_hold_the_callers_units_alone",
    "I09": "graphql/test_tenancy.py::test_filters_by_what_is_foreign_find_nothing",
    "I10": "graphql/test_every_place.py::test_what_is_foreign_does_not_exist_at_any_place",
    "I11": "graphql/test_tenancy.py::test_a_foreign_unit_in_an_item_does_not_exist",
    "I13": "graphql/test_tenancy.py::test_some_texts_name_no_unit",
    "I14": "graphql/test_every_place.py::test_a_listener_is_told_nothing_foreign",
    "I15": "deliveries/test_dispatch.py::"
    "test_a_webhook_is_told_what_happens_after_it_was_made_of_its_types_in_its_unit",
    "I16": "graphql/test_tenancy.py::test_a_foreign_account_is_refused_as_an_unknown_one",
    "I17": "graphql/test_tenancy.py::test_names_are_taken_only_within_a_unit",
    "I18": "graphql/test_tenancy.py::test_a_mutation_without_its_scope_changes_nothing",
    "I19": "graphql/test_scopes.py::test_root_fields_refuse_a_caller_without_scopes",
    "I20": "graphql/test_statements.py::test_every_statement_for_a_caller_with_one_unit_names_its_units",
    "J02": "web/test_limits.py::test_a_socket_has_its_limits_too",
    "J05": "web/test_gateways_with_keys.py::test_a_socket_without_a_good_token_is_closed_before_it_is_acknowledged",
    "J06": "web/test_gateways_with_keys.py::test_a_socket_is_closed_when_its_token_expires",
    "J14": "web/test_subscriptions.py::test_no_compression_is_agreed_to",
    "J16": "web/test_subscriptions.py::test_operations_at_once_are_limited_one_by_one",
    "J19": "web/test_subscriptions.py::test_other_protocols_are_refused",
    "J22": "web/test_subscriptions.py::test_who_reads_too_slowly_is_let_go_and_nobody_waits",
    "J23": "graphql/test_events.py::test_a_subscriber_that_goes_away_is_no_listener_any_more",
    "J24": "web/test_connections.py::test_too_many_connections_are_told_so_and_the_next_ones_answered",
    "J25": "web/test_subscriptions.py::test_operations_at_once_are_limited_one_by_one",
    "J27": "web/test_subscriptions.py::test_a_client_that_connects_anew_after_a_restart_misses_nothing",
    "J28": "faults/test_stops.py::test_what_runs_is_finished_and_what_lasts_is_ended",
    "K01": "web/test_statuses.py::test_a_failure_is_told_by_an_id_and_nothing_else",
    "K02": "graphql/test_execution.py::test_what_can_not_run_is_refused_with_its_code",
    "K03": "web/test_statuses.py::test_a_connection_outlives_a_failure",
    "K04": "web/test_access.py::test_a_name_of_an_operation_is_cut_and_escaped",
    "K05": "web/test_catalogue.py::test_a_row_leaves_little_in_the_log_and_no_secret_anywhere",
    "K06": "web/test_catalogue.py::test_a_row_leaves_little_in_the_log_and_no_secret_anywhere",
    "K07": "web/test_access.py::test_no_token_no_variable_no_literal_and_no_query_of_an_address_is_told",
    "K08": "web/test_access.py::test_a_name_of_an_operation_is_cut_and_escaped",
    "K09": ROW + "F36 a uuid in use",
    "K10": "graphql/test_timing.py::test_a_foreign_object_is_asked_for_as_one_that_is_not_there",
    "K11": "web/test_gateways_with_keys.py::test_the_schema_is_told_to_callers_and_health_to_all",
    "K12": "web/test_sockets.py::test_every_answer_has_the_safe_headers",
    "K13": "web/test_access.py::test_a_client_s_own_id_is_kept_where_it_is_well_formed",
    "K14": "web/test_ide.py::test_an_inline_script_does_not_run",
    "K15": "web/test_access.py::test_a_failure_of_each_request_does_not_fill_the_disk",
    "L01": "graphql/test_filters_and_pages.py::test_parts_of_texts_are_found_in_any_case_and_taken_literally",
    "L02": ROW + "E31 a text literal as an enum",
    "L04": ROW + "B18 U+0000",
    "L05": "graphql/test_long_values.py::test_a_list_may_be_longer_than_parameters_are_many",
    "L06": "graphql/test_tenancy.py::test_an_id_of_another_type_or_of_no_size_is_no_account",
    "L07": "graphql/test_filters_and_pages.py::test_texts_are_equal_only_byte_for_byte",
    "L08": "store/test_store.py::test_what_is_no_amount_is_not_stored_by_another_tool_either",
    "L09": "store/test_store.py::test_sqlite_keeps_what_it_said_and_readers_write_nothing",
    "L10": "faults/test_databases_fail.py::test_a_database_that_is_read_only_is_read_and_refuses_writes",
    "L11": "store/test_migrations.py::test_a_database_that_was_not_migrated_is_not_ready",
    "L12": "faults/test_restores.py::test_a_backup_under_load_holds_the_first_writes_and_takes_the_others_again",
    "M01": "web/test_limits.py::test_rates_are_told_with_the_time_to_wait",
    "M02": "graphql/test_limits.py::test_what_an_operation_costs",
    "M03": "web/test_gateways_with_keys.py::test_new_tokens_and_forged_addresses_give_no_caller_more",
    "M04": "faults/test_crowds.py::test_who_finds_all_connections_taken_is_told_within_two_seconds_and_health_answers",
    "M05": "store/test_store.py::test_a_statement_that_runs_too_long_is_stopped_and_the_next_one_runs",
    "M06": "faults/test_crowds.py::test_who_waits_for_another_process_too_long_is_told_so_and_nothing_is_stored",
    "M07": "faults/test_loops_held.py::test_the_log_tells_who_held_the_loop",
    "M08": "web/test_running.py::test_bodies_that_are_too_much_together_are_refused_for_a_while",
    "M09": "faults/test_descriptors_end.py::test_connections_beyond_the_files_cost_nobody_else_an_answer",
    "M10": "graphql/test_execution.py::test_the_documents_that_are_kept_are_bounded",
    "M11": "deliveries/test_dispatch.py::test_no_crowd_of_slow_or_dead_receivers_delays_another",
    "M12": "web/test_statuses.py::test_who_is_to_come_later_is_told_when",
}
"""What tries an attack that has no row of its own name: a test, by its place below `tests`, or another row."""

ROW_IDS = frozenset(row.id for row in ROWS)
WITH_ROWS = frozenset(row.id.split(" ")[0] for row in ROWS)
ATTACKS = [f"{part}{number:02d}" for part, count in COUNTS.items() for number in range(1, count + 1)]


@cache
def _functions(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _is_there(tried: str) -> bool:
    if tried.startswith(ROW):
        return tried.removeprefix(ROW) in ROW_IDS
    file, _, name = tried.partition("::")
    return name in _functions(file)


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_is_tried(attack: str) -> None:
    assert sum([attack in WITH_ROWS, attack in TRIED, attack in NOT_OURS]) == 1
    assert attack not in TRIED or _is_there(TRIED[attack])


def test_nothing_else_is_named() -> None:
    assert (WITH_ROWS | set(TRIED) | set(NOT_OURS)) - set(ATTACKS) == set()


def test_what_is_not_there_is_seen() -> None:
    assert not _is_there(ROW + "A01 nothing")
    assert not _is_there("web/test_covered.py::test_nothing")
    assert _is_there("web/test_covered.py::test_nothing_else_is_named")
