/* SPDX-License-Identifier: Apache-2.0 */
#include "report/plain.h"

#include <string.h>

#include "report/text.h"

#define CUT_SIGN "…"

void tt_plain_init(TtPlain *plain, TtSink *sink, guint columns) {
    *plain = (TtPlain){.sink = sink, .columns = columns, .line = g_string_new(NULL)};
}

void tt_plain_clear(TtPlain *plain) {
    if (plain->line)
        g_string_free(g_steal_pointer(&plain->line), TRUE);
}

static guint columns_of(gunichar character) {
    return g_unichar_iszerowidth(character) ? 0 : g_unichar_iswide(character) ? 2 : 1;
}

/* The next character that may be shown: what would steer a terminal is U+FFFD. */
static gunichar next_shown(const char **at, const char *end) {
    gunichar character = tt_text_next(at, end);

    return tt_text_is_control(character) ? TT_TEXT_REPLACEMENT : character;
}

static guint measure(const char *text) {
    const char *end = text + strlen(text);
    guint columns = 0;

    while (text < end)
        columns += columns_of(next_shown(&text, end));
    return columns;
}

/* Adds what fits into @room columns; of more the beginning and a sign. */
static void add_cut(TtPlain *plain, const char *text, guint room) {
    const char *end = text + strlen(text);
    gboolean is_cut = measure(text) > room;
    guint used = 0;

    if (room == 0)
        return;
    while (text < end) {
        gunichar character = next_shown(&text, end);

        if (is_cut && used + columns_of(character) > room - 1)
            break;
        g_string_append_unichar(plain->line, character);
        used += columns_of(character);
    }
    if (is_cut) {
        g_string_append(plain->line, CUT_SIGN);
        used++;
    }
    plain->used += used;
}

static void add_spaces(TtPlain *plain, guint count) {
    for (; count > 0; count--, plain->used++)
        g_string_append_c(plain->line, ' ');
}

guint tt_plain_get_room(const TtPlain *plain) {
    return plain->columns == 0 ? G_MAXUINT : plain->columns - MIN(plain->used, plain->columns);
}

void tt_plain_add(TtPlain *plain, const char *text) {
    add_cut(plain, text, tt_plain_get_room(plain));
}

void tt_plain_addf(TtPlain *plain, const char *format, ...) {
    g_autofree char *text = NULL;
    va_list values;

    va_start(values, format);
    text = g_strdup_vprintf(format, values);
    va_end(values);
    tt_plain_add(plain, text);
}

void tt_plain_cell(TtPlain *plain, const char *text, guint columns, TtPlainSide side) {
    guint width = MIN(columns, tt_plain_get_room(plain));
    guint spaces = width - MIN(measure(text), width);

    if (side == TT_PLAIN_RIGHT)
        add_spaces(plain, spaces);
    add_cut(plain, text, width);
    if (side == TT_PLAIN_LEFT)
        add_spaces(plain, spaces);
}

void tt_plain_end_line(TtPlain *plain) {
    gsize len = plain->line->len;

    while (len > 0 && plain->line->str[len - 1] == ' ')
        len--;
    g_string_truncate(plain->line, len);
    g_string_append_c(plain->line, '\n');
    (void)tt_sink_write(plain->sink, plain->line->str, plain->line->len, NULL);
    g_string_truncate(plain->line, 0);
    plain->used = 0;
}

void tt_plain_paragraph(TtPlain *plain, const char *text) {
    g_auto(GStrv) words = g_strsplit(text, " ", -1);

    for (char **word = words; *word; word++) {
        if (plain->used > 0 && tt_plain_get_room(plain) < measure(*word) + 1) {
            tt_plain_end_line(plain);
            tt_plain_add(plain, " ");
        }
        if (plain->used > 0)
            tt_plain_add(plain, " ");
        tt_plain_add(plain, *word);
    }
    tt_plain_end_line(plain);
}
