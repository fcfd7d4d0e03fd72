/* SPDX-License-Identifier: Apache-2.0 */
/* Text is read as glyphs: a character with its width, or the spelling of one that must not be drawn
 * as it is. What makes it hard is what a name may hold: text that turns the reading direction of
 * its neighbours, a thousand marks on one letter, a line break, bytes that are no text at all. */
#include "report/svg/measure.h"

#include <string.h>

#include "report/text.h"

/* Thousandths of the font's size. */
#define EM 1000u

/* The widest usual fonts differ from the tables by as much, in a line of mixed text. */
#define MARGIN 1.03

/* Vietnamese and most other scripts need two marks on a letter; towers of them cover other lines.
 */
#define MARKS_MAX 2

#define ELLIPSIS "…"

/* Advance widths of U+0020 … U+007E, DejaVu Sans 2.37. */
static const guint16 regular_widths[] = {
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361,  318, 337, 636, 636, 636,
    636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632,
    575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635,  611, 732, 684, 989, 685,
    611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352,  635, 634, 278, 278, 579,
    278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592,  525, 636, 337, 636, 838,
};

static const guint16 bold_widths[] = {
    348,  456, 521, 838, 696, 1002, 872, 306,  457, 457, 523, 838, 380, 415,  380, 365,
    696,  696, 696, 696, 696, 696,  696, 696,  696, 696, 400, 400, 838, 838,  838, 580,
    1000, 774, 762, 734, 830, 683,  683, 821,  837, 372, 372, 775, 637, 995,  837, 850,
    733,  850, 770, 720, 682, 812,  774, 1103, 771, 724, 725, 457, 365, 457,  838, 500,
    500,  675, 716, 593, 716, 678,  435, 716,  712, 343, 343, 665, 343, 1042, 712, 687,
    716,  716, 493, 595, 478, 712,  652, 924,  645, 652, 582, 712, 365, 712,  838,
};

G_STATIC_ASSERT(G_N_ELEMENTS(regular_widths) == 0x7f - 0x20);
G_STATIC_ASSERT(G_N_ELEMENTS(bold_widths) == 0x7f - 0x20);

/* One thing to draw. @text is empty for what is left out. */
typedef struct Glyph {
    char text[12];
    guint width;
} Glyph;

typedef struct Reader {
    const char *at, *end;
    gboolean is_bold;
    guint marks; /* in a row, up to here */
} Reader;

static Reader reader_for(const char *bytes, gboolean is_bold) {
    return (Reader){.at = bytes, .end = bytes + strlen(bytes), .is_bold = is_bold};
}

/* Beyond ASCII a class's wide characters stand for all: cutting a little early shows, and running
 * over the neighbour hides. */
static guint get_width(gunichar c, gboolean is_bold) {
    if (c >= 0x20 && c < 0x7f)
        return (is_bold ? bold_widths : regular_widths)[c - 0x20];

    guint width = 1250; /* Arabic, Indic, symbols */
    if (c >= 0x1f000)
        width = 1650; /* emoji */
    else if (c >= 0xfdf0 && c <= 0xfdfd)
        width = 4000; /* a sentence in one character */
    else if (g_unichar_iswide(c))
        width = 1050;
    else if (c >= 0x2010 && c < 0x2028)
        width = 1000; /* dashes, quotes, the ellipsis */
    else if (c < 0x590)
        width = 1100; /* accented Latin, Greek, Cyrillic */
    return is_bold ? width * 6 / 5 : width;
}

static gboolean is_mark(gunichar c) {
    switch (g_unichar_type(c)) {
    case G_UNICODE_NON_SPACING_MARK:
    case G_UNICODE_ENCLOSING_MARK:
    case G_UNICODE_SPACING_MARK:
        return TRUE;
    default:
        return c == 0x200c || c == 0x200d; /* joiners, which shape their neighbours */
    }
}

/* Shows nothing itself, so a name could hide in it. */
static gboolean is_hidden(gunichar c) {
    GUnicodeType type = g_unichar_type(c);

    return tt_text_is_control(c) || type == G_UNICODE_CONTROL || type == G_UNICODE_FORMAT ||
           type == G_UNICODE_LINE_SEPARATOR || type == G_UNICODE_PARAGRAPH_SEPARATOR ||
           type == G_UNICODE_PRIVATE_USE || (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);
}

static void spell_hidden(gunichar c, Glyph *ret_glyph) {
    if (c == '\n')
        g_strlcpy(ret_glyph->text, "\\n", sizeof(ret_glyph->text));
    else if (c == '\t')
        g_strlcpy(ret_glyph->text, "\\t", sizeof(ret_glyph->text));
    else if (c < 0x100)
        g_snprintf(ret_glyph->text, sizeof(ret_glyph->text), "\\x%02x", c);
    else if (c < 0x10000)
        g_snprintf(ret_glyph->text, sizeof(ret_glyph->text), "\\u%04x", c);
    else
        g_snprintf(ret_glyph->text, sizeof(ret_glyph->text), "\\U%08x", c);
}

static gboolean read_glyph(Reader *reader, Glyph *ret_glyph) {
    if (reader->at >= reader->end)
        return FALSE;

    gunichar c = tt_text_next(&reader->at, reader->end);
    *ret_glyph = (Glyph){0};

    if (is_mark(c)) {
        if (++reader->marks > MARKS_MAX)
            return TRUE;
        /* Most take no room; those that do are as wide as a letter. */
        if (g_unichar_type(c) == G_UNICODE_SPACING_MARK)
            ret_glyph->width = get_width(c, reader->is_bold);
        g_unichar_to_utf8(c, ret_glyph->text);
        return TRUE;
    }
    reader->marks = 0;

    if (!is_hidden(c)) {
        ret_glyph->width = get_width(c, reader->is_bold);
        g_unichar_to_utf8(c, ret_glyph->text);
        return TRUE;
    }
    spell_hidden(c, ret_glyph);
    for (const char *at = ret_glyph->text; *at != '\0'; at++)
        ret_glyph->width += get_width((guchar)*at, reader->is_bold);
    return TRUE;
}

char *tt_measure_show(const char *bytes, gsize max_characters) {
    Reader reader = reader_for(bytes, FALSE);
    GString *shown = g_string_new(NULL);
    Glyph glyph;

    for (gsize count = 0; read_glyph(&reader, &glyph);) {
        if (glyph.text[0] == '\0')
            continue;
        if (count++ == max_characters) {
            g_string_append(shown, ELLIPSIS);
            break;
        }
        g_string_append(shown, glyph.text);
    }
    return g_string_free(shown, FALSE);
}

double tt_measure_width(const char *bytes, double size, gboolean is_bold) {
    Reader reader = reader_for(bytes, is_bold);
    guint64 width = 0;
    Glyph glyph;

    while (read_glyph(&reader, &glyph))
        width += glyph.width;
    return (double)width * size * MARGIN / EM;
}

char *tt_measure_cut(const char *bytes, double size, gboolean is_bold, double width) {
    Reader reader = reader_for(bytes, is_bold);
    double room = width * EM / (size * MARGIN);
    double ellipsis = get_width(g_utf8_get_char(ELLIPSIS), is_bold);
    GString *shown = g_string_new(NULL);
    gsize cut_len = 0; /* what may stay before an ellipsis */
    double used = 0;
    Glyph glyph;

    while (read_glyph(&reader, &glyph)) {
        if (used + glyph.width > room) {
            g_string_truncate(shown, cut_len);
            while (shown->len > 0 && shown->str[shown->len - 1] == ' ')
                g_string_truncate(shown, shown->len - 1);
            if (ellipsis <= room)
                g_string_append(shown, ELLIPSIS);
            break;
        }
        used += glyph.width;
        g_string_append(shown, glyph.text);
        if (used + ellipsis <= room)
            cut_len = shown->len;
    }
    return g_string_free(shown, FALSE);
}
