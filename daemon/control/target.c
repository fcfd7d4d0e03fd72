/* SPDX-License-Identifier: Apache-2.0 */
/* One word, three readings: a number may be a pid, part of an id, or a program's name, so each
 * reading is tried on every session, and a doubt is told rather than decided. */
#include "control/target.h"

#include <string.h>

#include "control/error.h"
#include "control/text.h"

#define LIST_MAX 20u  /* sessions that a message names */
#define QUOTED_MAX 64 /* bytes of the word that a message repeats */

static const TtSessionCard *card_at(GPtrArray *cards, guint i) {
    return g_ptr_array_index(cards, i);
}

/* Digits alone, within a pid's range: "1e20", "+5", " 5" and "99999999999999999999" are no pids. */
static gboolean parse_pid(const char *word, gint *ret_pid) {
    gint64 pid = 0;

    for (const char *at = word; *at; at++) {
        if (!g_ascii_isdigit(*at))
            return FALSE;
        pid = pid * 10 + (*at - '0');
        if (pid > G_MAXINT)
            return FALSE;
    }
    if (pid == 0)
        return FALSE;
    *ret_pid = (gint)pid;
    return TRUE;
}

static gboolean is_prefix_of_id(const char *word, const guint8 *id) {
    char hex[TT_SESSION_HEX_BYTES];
    gsize len = strlen(word);

    if (len < TT_TARGET_PREFIX_MIN || len >= sizeof hex)
        return FALSE;
    tt_text_write_id(id, hex);
    return g_ascii_strncasecmp(word, hex, len) == 0;
}

static gboolean is_program(const char *word, const char *exe) {
    const char *slash;

    if (!exe)
        return FALSE;
    if (strchr(word, '/'))
        return g_str_equal(word, exe);
    slash = strrchr(exe, '/');
    if (g_str_equal(word, slash ? slash + 1 : exe))
        return TRUE;
    /* As `list` shows it, where the name is not text. */
    g_autofree char *shown = tt_text_get_name(exe);
    return g_str_equal(word, shown);
}

static const TtSessionCard *find_newest_of_pid(GPtrArray *cards, gint pid) {
    const TtSessionCard *newest = NULL;

    for (guint i = 0; i < cards->len; i++) {
        const TtSessionCard *card = card_at(cards, i);

        if (card->pid == pid && (!newest || card->order > newest->order))
            newest = card;
    }
    return newest;
}

/* The sessions that a word fits, of each process the newest only. */
static GPtrArray *find_candidates(GPtrArray *cards, const char *word) {
    GPtrArray *candidates = g_ptr_array_new();

    for (guint i = 0; i < cards->len; i++) {
        const TtSessionCard *card = card_at(cards, i);
        gboolean is_newer = TRUE;

        if (is_prefix_of_id(word, card->id)) {
            g_ptr_array_add(candidates, (gpointer)card);
            continue;
        }
        if (!is_program(word, card->exe))
            continue;
        for (guint k = 0; k < candidates->len && is_newer; k++) {
            const TtSessionCard *other = card_at(candidates, k);

            if (other->pid != card->pid || is_prefix_of_id(word, other->id))
                continue;
            if (other->order > card->order)
                is_newer = FALSE;
            else
                g_ptr_array_remove_index(candidates, k--);
        }
        if (is_newer)
            g_ptr_array_add(candidates, (gpointer)card);
    }
    return candidates;
}

static void append_list(GString *message, GPtrArray *cards) {
    guint shown = MIN(cards->len, LIST_MAX);

    /* The newest are the likeliest to be meant. */
    for (guint i = cards->len - shown; i < cards->len; i++) {
        const TtSessionCard *card = card_at(cards, i);
        g_autofree char *name = tt_text_get_name(card->exe);
        char hex[TT_SESSION_HEX_BYTES];

        tt_text_write_id(card->id, hex);
        g_string_append_printf(message, "\n  %s  pid %d  %s  %s", hex, card->pid, name,
                               tt_session_state_name(card->summary.state));
    }
    if (shown < cards->len)
        g_string_append_printf(message, "\n  and %u older", cards->len - shown);
}

static const TtSessionCard *refuse(TtControlError code, GPtrArray *listed, GError **error,
                                   const char *format, ...) G_GNUC_PRINTF(4, 5);

static const TtSessionCard *refuse(TtControlError code, GPtrArray *listed, GError **error,
                                   const char *format, ...) {
    g_autoptr(GString) message = g_string_new(NULL);
    va_list arguments;

    va_start(arguments, format);
    g_string_append_vprintf(message, format, arguments);
    va_end(arguments);
    append_list(message, listed);
    g_set_error_literal(error, TT_CONTROL_ERROR, (gint)code, message->str);
    return NULL;
}

static const TtSessionCard *find_only(GPtrArray *cards, GError **error) {
    if (cards->len == 1)
        return card_at(cards, 0);
    if (cards->len == 0)
        return refuse(TT_CONTROL_ERROR_NO_SUCH_TARGET, cards, error,
                      "There is no session: no traced program has run yet");
    return refuse(TT_CONTROL_ERROR_AMBIGUOUS, cards, error,
                  "There are %u sessions; say which by its pid, id or name:", cards->len);
}

const TtSessionCard *tt_target_find(GPtrArray *cards, const char *target, GError **error) {
    g_autoptr(GPtrArray) candidates = NULL;
    const TtSessionCard *card;
    gint pid;

    if (!target || !*target)
        return find_only(cards, error);
    if (parse_pid(target, &pid)) {
        card = find_newest_of_pid(cards, pid);
        if (card)
            return card;
    }
    candidates = find_candidates(cards, target);
    if (candidates->len == 1)
        return card_at(candidates, 0);

    g_autofree char *cut = g_strndup(target, QUOTED_MAX);
    g_autofree char *word = tt_text_make_valid(cut);
    const char *more = strlen(target) > QUOTED_MAX ? "..." : "";

    if (candidates->len > 1)
        return refuse(TT_CONTROL_ERROR_AMBIGUOUS, candidates, error,
                      "'%s%s' fits %u sessions; say which by its pid or id:", word, more,
                      candidates->len);
    if (cards->len == 0)
        return refuse(TT_CONTROL_ERROR_NO_SUCH_TARGET, cards, error,
                      "No session fits '%s%s': no traced program has run yet", word, more);
    return refuse(TT_CONTROL_ERROR_NO_SUCH_TARGET, cards, error,
                  "No session fits '%s%s'. There are:", word, more);
}
