/* SPDX-License-Identifier: Apache-2.0 */
#include "model/instant.h"

#include <string.h>

#define MARK_PREFIX "mark:"
#define WORD_SHOWN_MAX 64

G_DEFINE_QUARK(tt - model - error - quark, tt_model_error)

static const char *const kind_names[] = {
    [TT_INSTANT_NOW] = "now",   [TT_INSTANT_START] = "start", [TT_INSTANT_PEAK] = "peak",
    [TT_INSTANT_MARK] = "mark", [TT_INSTANT_TIME] = "time",
};

static const struct {
    const char *name;
    guint64 ns;
} units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000000},
    {"s", G_GUINT64_CONSTANT(1000000000)},
    {"m", G_GUINT64_CONSTANT(60000000000)},
    {"h", G_GUINT64_CONSTANT(3600000000000)},
    {"", 1},
};

const char *tt_instant_kind_name(TtInstantKind kind) { return kind_names[kind]; }

/* How many ns a unit has; 0: it is none. */
static guint64 find_unit(const char *name) {
    for (gsize i = 0; i < G_N_ELEMENTS(units); i++)
        if (g_str_equal(units[i].name, name))
            return units[i].ns;
    return 0;
}

/* Whether @word has the form of a time. @ret_is_held: whether 64 bits hold it. What is finer than a
 * nanosecond is cut off. */
static gboolean read_time(const char *word, guint64 *ret_ns, gboolean *ret_is_held) {
    gsize whole = strspn(word, "0123456789");
    const char *fraction = word[whole] == '.' ? word + whole + 1 : "";
    gsize digits = strspn(fraction, "0123456789");
    guint64 unit = find_unit(*fraction ? fraction + digits : word + whole);
    unsigned __int128 ns = 0;
    guint64 part = unit;

    if (whole == 0 || unit == 0 || (word[whole] == '.' && digits == 0))
        return FALSE;
    for (gsize i = 0; i < whole && ns <= G_MAXUINT64; i++)
        ns = ns * 10 + (guint64)(word[i] - '0') * unit;
    for (gsize i = 0; i < digits && part >= 10; i++) {
        part /= 10;
        ns += (guint64)(fraction[i] - '0') * part;
    }
    *ret_is_held = ns < G_MAXUINT64;
    *ret_ns = (guint64)ns;
    return TRUE;
}

static gboolean refuse(const char *word, const char *why, GError **error) {
    g_autofree char *shown = g_strndup(word, WORD_SHOWN_MAX);

    g_set_error(error, TT_MODEL_ERROR, TT_MODEL_ERROR_INSTANT,
                "'%s' %s: give 'now', 'start', 'peak', a time like 1.5s, or a mark's name", shown,
                why);
    return FALSE;
}

gboolean tt_instant_parse(const char *word, TtInstant *ret_instant, GError **error) {
    TtInstant instant = {.kind = TT_INSTANT_MARK};
    gboolean is_held = TRUE;

    if (!word)
        word = kind_names[TT_INSTANT_NOW];
    if (g_str_has_prefix(word, MARK_PREFIX))
        instant.mark = word + strlen(MARK_PREFIX);
    else if (read_time(word, &instant.time_ns, &is_held))
        instant.kind = TT_INSTANT_TIME;
    else if (g_str_equal(word, kind_names[TT_INSTANT_NOW]))
        instant.kind = TT_INSTANT_NOW;
    else if (g_str_equal(word, kind_names[TT_INSTANT_START]))
        instant.kind = TT_INSTANT_START;
    else if (g_str_equal(word, kind_names[TT_INSTANT_PEAK]))
        instant.kind = TT_INSTANT_PEAK;
    else
        instant.mark = word;
    if (!is_held)
        return refuse(word, "is longer than a session can last", error);
    if (instant.kind == TT_INSTANT_MARK && !*instant.mark)
        return refuse(word, "names no instant", error);
    *ret_instant = instant;
    return TRUE;
}
