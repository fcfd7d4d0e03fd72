/* SPDX-License-Identifier: Apache-2.0 */
/* What the document says, read back by json-glib: states and times, what is left out, what is
 * bounded, what happens when its reader or the symbolizer goes away. */
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

#include "samples.h"

static JsonParser *parse(Sample *sample) {
    JsonParser *parser = json_parser_new_immutable();
    g_autoptr(GError) error = NULL;
    gsize len;
    g_autofree char *text =
        synthetic_json(sample->snapshot, sample->symbols, &sample->options, &len);

    g_assert_true(json_parser_load_from_data(parser, text, (gssize)len, &error));
    g_assert_no_error(error);
    return parser;
}

static JsonObject *root_of(JsonParser *parser) {
    return json_node_get_object(json_parser_get_root(parser));
}

/* The element at @index of the member @key. */
static JsonObject *element(JsonParser *parser, const char *key, guint index) {
    return json_array_get_object_element(json_object_get_array_member(root_of(parser), key), index);
}

static void json_glib_reads_every_sample(void) {
    for (gsize i = 0; sample_names[i]; i++) {
        Sample *sample = sample_new(sample_names[i]);
        g_autoptr(JsonParser) parser = parse(sample);

        g_assert_cmpint(json_object_get_int_member(root_of(parser), "schema_version"), ==, 1);
        sample_free(sample);
    }
}

static void fault_J10_integers_keep_their_digits(void) {
    Sample *sample = sample_new("huge");
    g_autofree char *text = synthetic_json(sample->snapshot, NULL, &sample->options, NULL);

    g_assert_nonnull(strstr(text, "\"ptr\":18446744073709551615,"));
    g_assert_nonnull(strstr(text, "\"address\":\"0xffffffffffffffff\""));
    g_assert_nonnull(strstr(text, "\"size\":9223372036854775808,"));
    g_assert_nonnull(strstr(text, "\"total_allocated\": 9223372036854775808,"));
    sample_free(sample);
}

static void assert_state(TtSessionState state, gint wait_status, const char *name, gint exit_status,
                         gint signal_number) {
    Sample *sample = sample_new("one");
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *process;

    sample->snapshot->state = state;
    sample->snapshot->exit_status = wait_status;
    parser = parse(sample);
    process = json_object_get_object_member(root_of(parser), "process");
    g_assert_cmpstr(json_object_get_string_member(process, "state"), ==, name);
    g_assert_true(json_object_has_member(process, "exit_status"));
    g_assert_cmpint(json_object_get_int_member_with_default(process, "exit_status", -1), ==,
                    exit_status);
    g_assert_cmpint(json_object_get_int_member_with_default(process, "signal", -1), ==,
                    signal_number);
    sample_free(sample);
}

static void states_say_how_the_process_ended(void) {
    assert_state(TT_SESSION_RUNNING, -1, "running", -1, -1);
    assert_state(TT_SESSION_EXITED, 0, "exited", 0, -1);
    assert_state(TT_SESSION_EXITED, 3 << 8, "exited", 3, -1);
    assert_state(TT_SESSION_KILLED, 11 | 0x80, "killed", -1, 11); /* with a core */
    assert_state(TT_SESSION_KILLED, -1, "killed", -1, -1);
    assert_state(TT_SESSION_ENDED, -1, "ended", -1, -1);
    assert_state(TT_SESSION_LOST, -1, "lost", -1, -1);
}

static void assert_timestamp(TtSessionState state, guint64 now_ns, const char *expected) {
    Sample *sample = sample_new("one");
    g_autoptr(JsonParser) parser = NULL;

    sample->snapshot->state = state;
    sample->snapshot->time_ns = 1000000000;
    sample->options.now_realtime_ns = now_ns;
    parser = parse(sample);
    g_assert_cmpstr(json_object_get_string_member(root_of(parser), "timestamp"), ==, expected);
    sample_free(sample);
}

static void the_timestamp_is_that_of_the_state_shown(void) {
    assert_timestamp(TT_SESSION_EXITED, 1800000000000000000, "2023-11-14T22:13:21.123Z");
    assert_timestamp(TT_SESSION_RUNNING, 0, "2023-11-14T22:13:21.123Z");
    assert_timestamp(TT_SESSION_RUNNING, 1800000000000000000, "2027-01-15T08:00:00.000Z");
}

static void fault_J13_equal_states_give_equal_documents(void) {
    Sample *one = sample_new("full"), *other = sample_new("full");
    g_autofree char *text = synthetic_json(one->snapshot, one->symbols, &one->options, NULL);
    g_autofree char *again = synthetic_json(one->snapshot, one->symbols, &one->options, NULL);
    g_autofree char *same = synthetic_json(other->snapshot, other->symbols, &other->options, NULL);

    g_assert_cmpstr(text, ==, again);
    g_assert_cmpstr(text, ==, same);
    sample_free(one);
    sample_free(other);
}

static void hotspots_are_in_order_of_what_lives(void) {
    Sample *sample = sample_new("rich");
    g_autoptr(JsonParser) parser = parse(sample);
    JsonObject *first = element(parser, "allocation_hotspots", 0);

    g_assert_cmpint(json_object_get_int_member(first, "stack"), ==, 3);
    g_assert_cmpstr(json_object_get_string_member(first, "function"), ==, "copy");
    g_assert_cmpint(
        json_array_get_length(json_object_get_array_member(root_of(parser), "allocation_hotspots")),
        ==, 3);
    sample_free(sample);
}

static gboolean has_no_reallocations(const char *name, TtStateSource source) {
    Sample *sample = sample_new(name);
    g_autoptr(JsonParser) parser = NULL;

    sample->snapshot->instant.source = source;
    parser = parse(sample);
    gboolean is_null = json_object_get_null_member(root_of(parser), "reallocations");
    sample_free(sample);
    return is_null;
}

static void what_a_sample_cannot_lead_back_is_null(void) {
    g_assert_true(has_no_reallocations("estimates", TT_STATE_LED_BACK));
    g_assert_false(has_no_reallocations("estimates", TT_STATE_PRESENT));
    g_assert_false(has_no_reallocations("rich", TT_STATE_LED_BACK));
}

static void errors_stand_beside_their_estimates(void) {
    Sample *sample = sample_new("estimates");
    g_autoptr(JsonParser) parser = parse(sample);
    JsonObject *sampling = json_object_get_object_member(root_of(parser), "sampling");
    JsonObject *first = element(parser, "allocation_hotspots", 0); /* the second of the sites */
    JsonObject *block = element(parser, "active_allocations", 1);

    g_assert_cmpint(json_object_get_int_member(sampling, "mean_bytes"), ==, 4096);
    g_assert_cmpint(json_object_get_int_member(sampling, "total_allocations_error"), ==, 11);
    g_assert_cmpint(json_object_get_int_member(sampling, "total_allocated_error"), ==, 12);
    g_assert_cmpint(json_object_get_int_member(sampling, "cumulative_allocated_error"), ==, 14);
    g_assert_cmpint(json_object_get_int_member(sampling, "cumulative_freed_error"), ==, 16);
    g_assert_cmpint(json_object_get_int_member(sampling, "peak_bytes_error"), ==, 18);
    g_assert_cmpint(json_object_get_int_member(first, "stack"), ==, 3);
    g_assert_cmpint(json_object_get_int_member(first, "total_size_error"), ==, 102);
    g_assert_cmpint(json_object_get_int_member(first, "cumulative_size_error"), ==, 104);
    g_assert_cmpint(json_object_get_int_member(first, "peak_size_error"), ==, 108);
    g_assert_cmpint(json_object_get_int_member(block, "size"), ==, 8);
    g_assert_cmpint(json_object_get_int_member(block, "represents_blocks"), ==, 41);
    g_assert_cmpint(json_object_get_int_member(block, "represents_bytes"), ==, 4001);
    sample_free(sample);
}

static void assert_type(JsonObject *row, const char *key, const char *type, const char *source) {
    if (!type) {
        g_assert_true(json_object_get_null_member(row, key));
        g_assert_true(json_object_get_null_member(row, "type_source"));
        return;
    }
    g_assert_cmpstr(json_object_get_string_member(row, key), ==, type);
    g_assert_cmpstr(json_object_get_string_member(row, "type_source"), ==, source);
}

static void types_are_declared_or_found(void) {
    Sample *sample = sample_new("rich");
    g_autoptr(JsonParser) parser = parse(sample);

    assert_type(element(parser, "variables", 0), "type", "struct item *", "declared");
    assert_type(element(parser, "variables", 2), "type", "struct page *", "dwarf");
    assert_type(element(parser, "variables", 3), "type", NULL, NULL);
    assert_type(element(parser, "active_allocations", 0), "type_name", "struct item *", "declared");
    assert_type(element(parser, "active_allocations", 1), "type_name", "struct page *", "dwarf");
    assert_type(element(parser, "active_allocations", 2), "type_name", NULL, NULL);
    assert_type(element(parser, "memory_by_type", 0), "type", "struct item *", "declared");
    assert_type(element(parser, "memory_by_type", 1), "type", "struct page *", "dwarf");
    g_assert_cmpuint(sample->symbols->type_question_count, ==, 1); /* for one that has a place */
    sample_free(sample);
}

/* A thousand scopes deep, of long names: the innermost are told, and no row gets longer. */
static void fault_L11_deep_scopes_have_short_paths(void) {
    Sample *sample = sample_new("one");
    g_autofree char *long_name = g_strnfill(4096, 'n');
    g_autoptr(JsonParser) parser = NULL;
    const char *path;

    for (guint i = 0; i < 1000; i++) {
        TtScopeRow scope = {.name = (char *)(i == 0     ? long_name
                                             : i == 990 ? "near"
                                                        : "s"),
                            .parent = i == 0 ? TT_NONE : i - 1};

        g_array_append_val(sample->snapshot->scopes, scope);
    }
    g_array_index(sample->snapshot->live, TtBlockRow, 0).scope = 999;
    parser = parse(sample);
    path = json_object_get_string_member(element(parser, "active_allocations", 0), "scope");
    g_assert_true(g_str_has_prefix(path, "…/s/"));
    g_assert_nonnull(strstr(path, "/near/s/s/s/s/s/s/s/s/s"));
    path = json_object_get_string_member(element(parser, "scopes", 1), "scope");
    g_assert_cmpstr(path, ==, "…/s");
    path = json_object_get_string_member(element(parser, "scopes", 0), "scope");
    g_assert_cmpstr(path, ==, long_name);
    sample_free(sample);
}

/* Indices that lead nowhere are null; the model does not make them, but nothing breaks. */
static void indices_out_of_range_are_null(void) {
    Sample *sample = sample_new("one");
    TtBlockRow *block = &g_array_index(sample->snapshot->live, TtBlockRow, 0);
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *row;

    block->thread = block->variable = block->scope = 12345;
    parser = parse(sample);
    row = element(parser, "active_allocations", 0);
    g_assert_true(json_object_get_null_member(row, "thread_id"));
    g_assert_true(json_object_get_null_member(row, "var_name"));
    g_assert_true(json_object_get_null_member(row, "scope"));
    sample_free(sample);
}

static void fault_I08_a_failed_symbolizer_is_told(void) {
    Sample *sample = sample_new("rich");
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *completeness;

    sample->symbols->is_broken = TRUE;
    parser = parse(sample);
    completeness = json_object_get_object_member(root_of(parser), "completeness");
    g_assert_cmpstr(json_object_get_string_member(completeness, "symbols_failure"), ==,
                    "the symbolizer died");
    g_assert_cmpstr(json_object_get_string_member(element(parser, "modules", 0), "symbols"), ==,
                    "not_asked");
    sample_free(sample);
}

static void fault_J05_a_full_disk_is_an_error(void) {
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    g_autoptr(TtSink) sink = tt_sink_new(fd);
    g_autoptr(GError) error = NULL;
    Sample *sample = sample_new_of_text("x");

    sample->snapshot->made_count = 100000000; /* would take minutes if it did not stop */
    sample->snapshot->make_row = NULL;        /* not reached */
    while (sample->snapshot->stacks && g_hash_table_size(sample->snapshot->stacks) < 5000) {
        static const guint64 ips[] = {0x400401, 0x400501, 0x400601, 0};
        TtSiteRow site = {.stack = 100 + g_hash_table_size(sample->snapshot->stacks),
                          .live_blocks = 1};

        synthetic_add_stack(sample->snapshot, site.stack, ips);
        g_array_append_val(sample->snapshot->sites, site);
    }
    g_assert_false(
        tt_report_json(sample->snapshot, sample->symbols, &sample->options, sink, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
    sample_free(sample);
    close(fd);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-document/json_glib_reads_every_sample", json_glib_reads_every_sample);
    g_test_add_func("/json-document/fault_J10_integers_keep_their_digits",
                    fault_J10_integers_keep_their_digits);
    g_test_add_func("/json-document/states_say_how_the_process_ended",
                    states_say_how_the_process_ended);
    g_test_add_func("/json-document/the_timestamp_is_that_of_the_state_shown",
                    the_timestamp_is_that_of_the_state_shown);
    g_test_add_func("/json-document/fault_J13_equal_states_give_equal_documents",
                    fault_J13_equal_states_give_equal_documents);
    g_test_add_func("/json-document/hotspots_are_in_order_of_what_lives",
                    hotspots_are_in_order_of_what_lives);
    g_test_add_func("/json-document/errors_stand_beside_their_estimates",
                    errors_stand_beside_their_estimates);
    g_test_add_func("/json-document/what_a_sample_cannot_lead_back_is_null",
                    what_a_sample_cannot_lead_back_is_null);
    g_test_add_func("/json-document/types_are_declared_or_found", types_are_declared_or_found);
    g_test_add_func("/json-document/fault_L11_deep_scopes_have_short_paths",
                    fault_L11_deep_scopes_have_short_paths);
    g_test_add_func("/json-document/indices_out_of_range_are_null", indices_out_of_range_are_null);
    g_test_add_func("/json-document/fault_I08_a_failed_symbolizer_is_told",
                    fault_I08_a_failed_symbolizer_is_told);
    g_test_add_func("/json-document/fault_J05_a_full_disk_is_an_error",
                    fault_J05_a_full_disk_is_an_error);
    return g_test_run();
}
