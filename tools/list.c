/* SPDX-License-Identifier: Apache-2.0 */
/* tt-ctl list. */
#include "tools/list.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "tools/command.h"

#define NAME_COLUMNS 24
#define ID_SHOWN_MIN 8

static const char help[] =
    "Usage: tt-ctl list [--json]\n"
    "\n"
    "Lists the sessions: one line for each process image that is or was traced.\n"
    "\n"
    "  --json  one JSON array, an object for each session\n";

guint64 tt_list_get_number(GVariant *session, const char *key) {
    guint64 number = 0;

    g_variant_lookup(session, key, "t", &number);
    return number;
}

gint tt_list_get_int(GVariant *session, const char *key) {
    gint number = 0;

    g_variant_lookup(session, key, "i", &number);
    return number;
}

const char *tt_list_get_text(GVariant *session, const char *key) {
    const char *text = "";

    g_variant_lookup(session, key, "&s", &text);
    return text;
}

const char *tt_list_write_size(guint64 bytes, char *ret_text) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    gsize unit = 0;
    double size = (double)bytes / 1024;

    if (bytes < 1024) {
        g_snprintf(ret_text, 16, "%u B", (guint)bytes);
        return ret_text;
    }
    /* 1023.96 KiB would be shown as 1024.0. */
    for (; size >= 1023.95 && unit + 1 < G_N_ELEMENTS(units); unit++)
        size /= 1024;
    g_snprintf(ret_text, 16, "%.1f %s", size, units[unit]);
    return ret_text;
}

static guint columns_of(gunichar character) {
    return g_unichar_iszerowidth(character) ? 0 : g_unichar_iswide(character) ? 2 : 1;
}

/* A cell of foreign text: escaped, of one line, cut with "~" to @most columns. */
static char *fit(const char *text, guint most) {
    g_autofree char *escaped = tt_say_escape(text);
    GString *cell = g_string_new(NULL);
    guint used = 0, whole = 0;

    g_strdelimit(escaped, "\n", ' ');
    for (const char *at = escaped; *at; at = g_utf8_next_char(at))
        whole += columns_of(g_utf8_get_char(at));
    for (const char *at = escaped; *at; at = g_utf8_next_char(at)) {
        guint columns = columns_of(g_utf8_get_char(at));

        if (whole > most && used + columns > most - 1) {
            g_string_append_c(cell, '~');
            break;
        }
        g_string_append_unichar(cell, g_utf8_get_char(at));
        used += columns;
    }
    return g_string_free(cell, FALSE);
}

/* How much of the ids tells them apart. */
static gsize find_id_length(GVariant *sessions) {
    gsize len = ID_SHOWN_MIN;
    g_autoptr(GHashTable) seen = NULL;

    for (; len < 32; len++) {
        gboolean is_enough = TRUE;
        GVariantIter iter;
        GVariant *session;

        g_clear_pointer(&seen, g_hash_table_unref);
        seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_variant_iter_init(&iter, sessions);
        while ((session = g_variant_iter_next_value(&iter))) {
            is_enough &= g_hash_table_add(seen, g_strndup(tt_list_get_text(session, "id"), len));
            g_variant_unref(session);
        }
        if (is_enough)
            break;
    }
    return len;
}

static gboolean is_sampled(GVariant *session) {
    return tt_list_get_number(session, "sample_bytes") > 0;
}

static char *write_size(GVariant *session, const char *key) {
    char size[16];

    return g_strconcat(is_sampled(session) ? "~" : "",
                       tt_list_write_size(tt_list_get_number(session, key), size), NULL);
}

static char *write_count(GVariant *session, const char *key, gboolean is_estimate) {
    return g_strdup_printf("%s%" G_GUINT64_FORMAT, is_estimate ? "~" : "",
                           tt_list_get_number(session, key));
}

enum { ID, PID, NAME, STATE, LIVE, BLOCKS, PEAK, EVENTS, DROPPED, COLUMN_COUNT };

typedef struct Row {
    char *cells[COLUMN_COUNT];
} Row;

static void clear_row(gpointer data) {
    Row *row = data;

    for (gsize i = 0; i < COLUMN_COUNT; i++)
        g_free(row->cells[i]);
}

static Row write_row(GVariant *session, gsize id_len) {
    gboolean is_estimate = is_sampled(session);

    return (Row){{
        [ID] = g_strndup(tt_list_get_text(session, "id"), id_len),
        [PID] = g_strdup_printf("%d", tt_list_get_int(session, "pid")),
        [NAME] = fit(tt_list_get_text(session, "name"), NAME_COLUMNS),
        [STATE] = g_strdup(tt_list_get_text(session, "state")),
        [LIVE] = write_size(session, "live_bytes"),
        [BLOCKS] = write_count(session, "live_blocks", is_estimate),
        [PEAK] = write_size(session, "peak_bytes"),
        [EVENTS] = write_count(session, "events", FALSE),
        [DROPPED] = write_count(session, "dropped_events", FALSE),
    }};
}

static guint width_of(const char *text) {
    guint width = 0;

    for (const char *at = text; *at; at = g_utf8_next_char(at))
        width += columns_of(g_utf8_get_char(at));
    return width;
}

/* Each column as wide as its widest cell, so that the usual table fits a terminal of 80. */
static char *lay_out(const GArray *rows) {
    GString *table = g_string_new(NULL);
    guint widths[COLUMN_COUNT] = {0};

    for (guint i = 0; i < rows->len; i++)
        for (gsize column = 0; column < COLUMN_COUNT; column++)
            widths[column] =
                MAX(widths[column], width_of(g_array_index(rows, Row, i).cells[column]));
    for (guint i = 0; i < rows->len; i++) {
        for (gsize column = 0; column < COLUMN_COUNT; column++) {
            const char *cell = g_array_index(rows, Row, i).cells[column];
            int filling = (int)(widths[column] - width_of(cell));
            gboolean is_left = column == ID || column == NAME || column == STATE;

            g_string_append_printf(table, "%s%*s%s%*s", column > 0 ? "  " : "",
                                   is_left ? 0 : filling, "", cell, is_left ? filling : 0, "");
        }
        g_string_append_c(table, '\n');
    }
    return g_string_free(table, FALSE);
}

char *tt_list_to_table(GVariant *sessions) {
    static const char *const heads[] = {"ID",     "PID",  "NAME",   "STATE",  "LIVE",
                                        "BLOCKS", "PEAK", "EVENTS", "DROPPED"};
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(Row));
    gsize id_len = find_id_length(sessions);
    gboolean has_estimates = FALSE;
    GVariantIter iter;
    GVariant *session;
    Row head;

    g_array_set_clear_func(rows, clear_row);
    for (gsize i = 0; i < COLUMN_COUNT; i++)
        head.cells[i] = g_strdup(heads[i]);
    g_array_append_val(rows, head);
    g_variant_iter_init(&iter, sessions);
    while ((session = g_variant_iter_next_value(&iter))) {
        Row row = write_row(session, id_len);

        has_estimates |= is_sampled(session);
        g_array_append_val(rows, row);
        g_variant_unref(session);
    }
    g_autofree char *table = lay_out(rows);
    return g_strconcat(table, has_estimates ? "~ is an estimate from a sample\n" : "", NULL);
}

static void add_session(JsonBuilder *builder, GVariant *session) {
    static const char *const texts[] = {"name", "exe", "state"};
    static const char *const numbers[] = {"live_bytes", "live_blocks",    "peak_bytes",
                                          "events",     "dropped_events", "sample_bytes"};

    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "id");
    json_builder_add_string_value(builder, tt_list_get_text(session, "id"));
    json_builder_set_member_name(builder, "pid");
    json_builder_add_int_value(builder, tt_list_get_int(session, "pid"));
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        json_builder_set_member_name(builder, texts[i]);
        json_builder_add_string_value(builder, tt_list_get_text(session, texts[i]));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        guint64 number = tt_list_get_number(session, numbers[i]);

        json_builder_set_member_name(builder, numbers[i]);
        json_builder_add_int_value(builder, (gint64)MIN(number, (guint64)G_MAXINT64));
    }
    json_builder_end_object(builder);
}

char *tt_list_to_json(GVariant *sessions) {
    g_autoptr(JsonBuilder) builder = json_builder_new();
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) root = NULL;
    g_autofree char *text = NULL;
    GVariantIter iter;
    GVariant *session;

    json_builder_begin_array(builder);
    g_variant_iter_init(&iter, sessions);
    while ((session = g_variant_iter_next_value(&iter))) {
        add_session(builder, session);
        g_variant_unref(session);
    }
    json_builder_end_array(builder);
    root = json_builder_get_root(builder);
    json_generator_set_root(generator, root);
    json_generator_set_pretty(generator, TRUE);
    text = json_generator_to_data(generator, NULL);
    return g_strconcat(text, "\n", NULL);
}

int tt_command_list(char **argv, const TtChildStart *start) {
    const char *json = NULL, *wants_help = NULL;
    const TtOption options[] = {
        {"json", TT_OPTION_FLAG, &json}, {"help", TT_OPTION_FLAG, &wants_help}, {0}};
    g_autofree const char **words = g_new(const char *, g_strv_length(argv) + 1);
    g_autoptr(TtDaemon) daemon = NULL;
    g_autoptr(GVariant) sessions = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    (void)start;
    if (!tt_args_parse(argv, options, FALSE, words, &error))
        return tt_say_error(error);
    if (wants_help)
        return tt_command_print(help);
    if (*words) {
        tt_say("list takes no argument '%s': see tt-ctl list --help", *words);
        return TT_STATUS_USAGE;
    }
    daemon = tt_daemon_open(&error);
    if (!daemon)
        return tt_say_error(error);
    if (!tt_daemon1_call_list_sync(daemon->proxy, &sessions, NULL, &error)) {
        tt_ask_explain(daemon, &error);
        return tt_say_error(error);
    }
    text = json ? tt_list_to_json(sessions) : tt_list_to_table(sessions);
    return tt_command_print(text);
}
