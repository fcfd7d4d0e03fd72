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

/* Appends @text in @width columns, cut with "~" or filled with spaces. */
static void append_fitted(GString *line, const char *text, guint width) {
    g_autofree char *escaped = tt_say_escape(text);
    guint used = 0, whole = 0;

    g_strdelimit(escaped, "\n", ' ');
    for (const char *at = escaped; *at; at = g_utf8_next_char(at))
        whole += columns_of(g_utf8_get_char(at));
    for (const char *at = escaped; *at; at = g_utf8_next_char(at)) {
        guint columns = columns_of(g_utf8_get_char(at));

        if (whole > width && used + columns > width - 1) {
            g_string_append_c(line, '~');
            used++;
            break;
        }
        g_string_append_unichar(line, g_utf8_get_char(at));
        used += columns;
    }
    for (; used < width; used++)
        g_string_append_c(line, ' ');
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

static char *write_count(GVariant *session, const char *key) {
    return g_strdup_printf("%s%" G_GUINT64_FORMAT, is_sampled(session) ? "~" : "",
                           tt_list_get_number(session, key));
}

char *tt_list_to_table(GVariant *sessions) {
    GString *table = g_string_new(NULL);
    gsize id_len = find_id_length(sessions);
    guint dropped_width = 8;
    gboolean has_estimates = FALSE;
    GVariantIter iter;
    GVariant *session;

    g_string_append_printf(table, "%-*s %8s  %-*s %-8s %11s %13s %11s %14s %*s\n", (int)id_len,
                           "ID", "PID", NAME_COLUMNS, "NAME", "STATE", "LIVE", "BLOCKS", "PEAK",
                           "EVENTS", (int)dropped_width, "DROPPED");
    g_variant_iter_init(&iter, sessions);
    while ((session = g_variant_iter_next_value(&iter))) {
        g_autofree char *live = write_size(session, "live_bytes");
        g_autofree char *blocks = write_count(session, "live_blocks");
        g_autofree char *peak = write_size(session, "peak_bytes");

        has_estimates |= is_sampled(session);
        g_string_append_printf(table, "%-*.*s %8d  ", (int)id_len, (int)id_len,
                               tt_list_get_text(session, "id"), tt_list_get_int(session, "pid"));
        append_fitted(table, tt_list_get_text(session, "name"), NAME_COLUMNS);
        g_string_append_printf(
            table, " %-8s %11s %13s %11s %14" G_GUINT64_FORMAT " %*" G_GUINT64_FORMAT "\n",
            tt_list_get_text(session, "state"), live, blocks, peak,
            tt_list_get_number(session, "events"), (int)dropped_width,
            tt_list_get_number(session, "dropped_events"));
        g_variant_unref(session);
    }
    if (has_estimates)
        g_string_append(table, "~ is an estimate from a sample\n");
    return g_string_free(table, FALSE);
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
