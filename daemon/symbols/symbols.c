/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's side: every answer so far, and the process that is asked for more.
 *
 * Two locks, so that an export whose names are all known does not wait for one whose module hangs:
 * cache_lock is held for look-ups only, exchange_lock while the process is asked. Whoever takes
 * both takes exchange_lock first. */
#include "symbols/symbols.h"

#include <string.h>

#include "symbols/exchange.h"
#include "symbols/symbolizer.h"

#define ANSWERS_MANY 1000000
#define BYTES_MANY (256u << 20)
#define MODULES_MANY 65536
#define STRING_BYTES_MAX ((gsize)512 << 20) /* from here on new strings are unknown */
#define STRIKES_MAX 2                       /* processes that one module may cost in a row */

/* What is known of one module. Owned by TtSymbols; under cache_lock. */
typedef struct Known {
    TtSymbolsLack lack;
    guint strike_count;
    GHashTable *answers; /* address → TtSymbolAnswer in one of the blocks */
    GPtrArray *blocks;   /* (owned) TtAnswerBlock */
    GHashTable *types;   /* (owned) type_key() → text in strings, or no_type */
} Known;

/* A kind of question: what an element of an array of what is asked for is, how many may be asked
 * for at once, and what is done with the answers. */
typedef struct Kind {
    gsize element_bytes;
    gsize count_max;
    void (*write)(GByteArray *to, guint64 id, guint timeout_ms, const TtSymbolModule *module,
                  gconstpointer asked, gsize count);
    /* Takes @block. Under cache_lock; the module was readable. */
    void (*remember)(TtSymbols *symbols, Known *known, gconstpointer asked, TtAnswerBlock *block);
} Kind;

struct TtSymbols {
    GMutex exchange_lock; /* guards the process and these */
    TtSymbolizer *symbolizer;
    guint timeout_ms;
    guint64 last_id;
    GByteArray *question, *answer;

    GMutex cache_lock;   /* guards the rest */
    GHashTable *modules; /* (owned) GBytes of module_key() → (owned) Known */
    GHashTable *strings; /* (owned) set of char *: each text once, many frames have the same */
    gsize string_bytes, block_bytes, answer_count, answer_limit;
    guint hold_count;
};

G_DEFINE_QUARK(tt_symbols_error, tt_symbols_error)

static const TtSymbolAnswer nothing;
static const char no_type[] = "";

static void known_free(gpointer data) {
    Known *known = data;

    g_hash_table_unref(known->answers);
    g_ptr_array_unref(known->blocks);
    g_hash_table_unref(known->types);
    g_free(known);
}

TtSymbols *tt_symbols_new(void) {
    TtSymbols *symbols = g_new0(TtSymbols, 1);

    g_mutex_init(&symbols->exchange_lock);
    symbols->symbolizer = tt_symbolizer_new();
    symbols->timeout_ms = TT_SYMBOLS_TIMEOUT_MS;
    symbols->question = g_byte_array_new();
    symbols->answer = g_byte_array_new();
    g_mutex_init(&symbols->cache_lock);
    symbols->modules = g_hash_table_new_full(g_bytes_hash, g_bytes_equal,
                                             (GDestroyNotify)g_bytes_unref, known_free);
    symbols->strings = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    symbols->answer_limit = ANSWERS_MANY;
    return symbols;
}

void tt_symbols_free(TtSymbols *symbols) {
    if (!symbols)
        return;
    tt_symbolizer_free(symbols->symbolizer);
    g_byte_array_unref(symbols->question);
    g_byte_array_unref(symbols->answer);
    g_hash_table_unref(symbols->modules);
    g_hash_table_unref(symbols->strings);
    g_mutex_clear(&symbols->exchange_lock);
    g_mutex_clear(&symbols->cache_lock);
    g_free(symbols);
}

void tt_symbols_set_timeout(TtSymbols *symbols, guint timeout_ms) {
    g_mutex_lock(&symbols->exchange_lock);
    symbols->timeout_ms = MAX(timeout_ms, 1);
    g_mutex_unlock(&symbols->exchange_lock);
}

void tt_symbols_set_debug_dir(TtSymbols *symbols, const char *dir) {
    g_mutex_lock(&symbols->exchange_lock);
    tt_symbolizer_set_debug_dir(symbols->symbolizer, dir);
    g_mutex_unlock(&symbols->exchange_lock);
}

void tt_symbols_set_limit(TtSymbols *symbols, gsize answer_count) {
    g_mutex_lock(&symbols->cache_lock);
    symbols->answer_limit = answer_count;
    g_mutex_unlock(&symbols->cache_lock);
}

GPid tt_symbols_get_pid(TtSymbols *symbols) { return tt_symbolizer_get_pid(symbols->symbolizer); }

/* Equal build-ids are equal code, wherever the file lies. A byte in front keeps paths apart. */
static GBytes *module_key(const TtSymbolModule *module) {
    GByteArray *key = g_byte_array_new();

    if (module->build_id_len > 0) {
        g_byte_array_append(key, (const guint8 *)"b", 1);
        g_byte_array_append(key, module->build_id, (guint)module->build_id_len);
    } else {
        g_byte_array_append(key, (const guint8 *)"p", 1);
        g_byte_array_append(key, (const guint8 *)module->path, (guint)strlen(module->path));
    }
    return g_byte_array_free_to_bytes(key);
}

/* A module that the exchange cannot even express names nothing that exists. */
static gboolean is_askable(const TtSymbolModule *module) {
    return module->path && strnlen(module->path, TT_STRING_MAX + 1) <= TT_STRING_MAX &&
           module->build_id_len <= TT_BUILD_ID_MAX;
}

/* Under cache_lock. */
static Known *get_known(TtSymbols *symbols, const TtSymbolModule *module) {
    GBytes *key = module_key(module);
    Known *known = g_hash_table_lookup(symbols->modules, key);

    if (known) {
        g_bytes_unref(key);
        return known;
    }
    known = g_new0(Known, 1);
    known->lack = TT_SYMBOLS_LACK_ANSWER;
    known->answers = g_hash_table_new(NULL, NULL);
    known->blocks = g_ptr_array_new_with_free_func(g_free);
    known->types = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_insert(symbols->modules, key, known);
    return known;
}

/* TtInternString, under cache_lock. */
static const char *intern(gpointer data, const char *text, gsize len) {
    TtSymbols *symbols = data;
    char *copy = g_strndup(text, len);
    char *known = g_hash_table_lookup(symbols->strings, copy);

    if (known || symbols->string_bytes > STRING_BYTES_MAX) {
        g_free(copy);
        return known;
    }
    g_hash_table_add(symbols->strings, copy);
    symbols->string_bytes += len + 1;
    return copy;
}

/* ---- The process ---- */

/* Takes the answer to @asked into the cache. Returns: %FALSE where it makes no sense. */
static gboolean take_answer(TtSymbols *symbols, const Kind *kind, Known *known, gconstpointer asked,
                            gsize count) {
    TtAnswerBlock *block;

    g_mutex_lock(&symbols->cache_lock);
    block = tt_answer_read(symbols->answer->data, symbols->answer->len, symbols->last_id, count,
                           intern, symbols);
    if (block) {
        known->lack = block->lack;
        known->strike_count = 0;
    }
    /* What cannot be read now may be there later: nothing is remembered of it. */
    if (block && block->lack <= TT_SYMBOLS_LACK_NAMES) {
        symbols->answer_count += count;
        kind->remember(symbols, known, asked, block);
    } else {
        g_free(block);
    }
    g_mutex_unlock(&symbols->cache_lock);
    return block != NULL;
}

/* Asks one question. Under exchange_lock. */
static gboolean ask(TtSymbols *symbols, const Kind *kind, const TtSymbolModule *module,
                    Known *known, gconstpointer asked, gsize count, GError **error) {
    g_autoptr(GError) failure = NULL;

    g_byte_array_set_size(symbols->question, 0);
    kind->write(symbols->question, ++symbols->last_id, symbols->timeout_ms, module, asked, count);
    if (tt_symbolizer_ask(symbols->symbolizer, symbols->question, symbols->timeout_ms,
                          symbols->answer, &failure)) {
        if (take_answer(symbols, kind, known, asked, count))
            return TRUE;
        tt_symbolizer_stop(symbols->symbolizer);
        g_set_error(&failure, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_GARBAGE,
                    "tt-symbolizer answered nonsense: names are missing");
    }
    g_mutex_lock(&symbols->cache_lock);
    known->lack = TT_SYMBOLS_LACK_ANSWER;
    if (!g_error_matches(failure, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_START))
        known->strike_count++;
    g_mutex_unlock(&symbols->cache_lock);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean is_given_up(TtSymbols *symbols, const Known *known) {
    gboolean r;

    g_mutex_lock(&symbols->cache_lock);
    r = known->strike_count >= STRIKES_MAX;
    g_mutex_unlock(&symbols->cache_lock);
    return r;
}

static gboolean is_readable(TtSymbols *symbols, const Known *known) {
    gboolean r;

    g_mutex_lock(&symbols->cache_lock);
    r = known->lack <= TT_SYMBOLS_LACK_NAMES;
    g_mutex_unlock(&symbols->cache_lock);
    return r;
}

/* Asks for all of @missing, which is sorted; stops where there is no use. Under exchange_lock. */
static gboolean ask_all(TtSymbols *symbols, const Kind *kind, const TtSymbolModule *module,
                        Known *known, const GArray *missing, GError **error) {
    if (missing->len > 0 && is_given_up(symbols, known)) {
        g_set_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_GIVEN_UP,
                    "tt-symbolizer failed %d times on this module and is not asked again",
                    STRIKES_MAX);
        return FALSE;
    }
    for (gsize at = 0; at < missing->len;) {
        gsize count = MIN(missing->len - at, kind->count_max);

        if (!ask(symbols, kind, module, known, missing->data + at * kind->element_bytes, count,
                 error))
            return FALSE;
        if (!is_readable(symbols, known))
            return TRUE;
        at += count;
    }
    return TRUE;
}

static void sort_uniquely(GArray *asked, gsize element_bytes, GCompareFunc compare) {
    guint kept = 0;

    g_array_sort(asked, compare);
    for (guint i = 0; i < asked->len; i++) {
        const char *from = asked->data + i * element_bytes;
        char *to = asked->data + kept * element_bytes;

        if (i > 0 && compare(from, to - element_bytes) == 0)
            continue;
        memmove(to, from, element_bytes);
        kept++;
    }
    g_array_set_size(asked, kept);
}

/* Returns: (transfer none): what is known of the module, which is_askable(). */
static Known *lock_and_get_known(TtSymbols *symbols, const TtSymbolModule *module) {
    Known *known;

    g_mutex_lock(&symbols->cache_lock);
    known = get_known(symbols, module);
    g_mutex_unlock(&symbols->cache_lock);
    return known;
}

/* ---- Frames ---- */

static void write_addrs(GByteArray *to, guint64 id, guint timeout_ms, const TtSymbolModule *module,
                        gconstpointer asked, gsize count) {
    tt_question_write(to, id, timeout_ms, module, asked, count);
}

static void remember_answers(TtSymbols *symbols, Known *known, gconstpointer asked,
                             TtAnswerBlock *block) {
    const guint64 *addrs = asked;

    for (gsize i = 0; i < block->answer_count; i++)
        g_hash_table_insert(known->answers, GSIZE_TO_POINTER(addrs[i]), &block->answers[i]);
    symbols->block_bytes += block->size_bytes;
    g_ptr_array_add(known->blocks, block);
}

static const Kind frames_kind = {
    .element_bytes = sizeof(guint64),
    .count_max = TT_EXCHANGE_ADDRS_MAX,
    .write = write_addrs,
    .remember = remember_answers,
};

static gint compare_addrs(gconstpointer a, gconstpointer b) {
    guint64 left = *(const guint64 *)a, right = *(const guint64 *)b;

    return left < right ? -1 : left > right;
}

/* Sets every answer that is known, and collects the addresses of the others. */
static void look_up(TtSymbols *symbols, const Known *known, const guint64 *addrs, gsize count,
                    const TtSymbolAnswer **ret_answers, GArray *missing) {
    g_mutex_lock(&symbols->cache_lock);
    g_array_set_size(missing, 0);
    for (gsize i = 0; i < count; i++) {
        ret_answers[i] = g_hash_table_lookup(known->answers, GSIZE_TO_POINTER(addrs[i]));
        if (!ret_answers[i]) {
            ret_answers[i] = &nothing;
            g_array_append_val(missing, addrs[i]);
        }
    }
    g_mutex_unlock(&symbols->cache_lock);
}

gboolean tt_symbols_resolve(TtSymbols *symbols, const TtSymbolModule *module, const guint64 *addrs,
                            gsize count, const TtSymbolAnswer **ret_answers, GError **error) {
    g_autoptr(GArray) missing = g_array_new(FALSE, FALSE, sizeof(guint64));
    gboolean is_good = TRUE;
    Known *known;

    if (!is_askable(module)) {
        for (gsize i = 0; i < count; i++)
            ret_answers[i] = &nothing;
        return TRUE;
    }
    tt_symbols_hold(symbols);
    known = lock_and_get_known(symbols, module);
    look_up(symbols, known, addrs, count, ret_answers, missing);
    if (missing->len > 0) {
        g_mutex_lock(&symbols->exchange_lock);
        /* Another thread may have asked for the same while this one waited for the lock. */
        look_up(symbols, known, addrs, count, ret_answers, missing);
        sort_uniquely(missing, sizeof(guint64), compare_addrs);
        is_good = ask_all(symbols, &frames_kind, module, known, missing, error);
        g_mutex_unlock(&symbols->exchange_lock);
        look_up(symbols, known, addrs, count, ret_answers, missing);
    }
    tt_symbols_release(symbols);
    return is_good;
}

/* ---- Types ---- */

static char *type_key(const TtSymbolVariable *variable) {
    return g_strdup_printf("%" G_GINT64_MODIFIER "x %s", variable->addr, variable->name);
}

static void write_variables(GByteArray *to, guint64 id, guint timeout_ms,
                            const TtSymbolModule *module, gconstpointer asked, gsize count) {
    tt_type_question_write(to, id, timeout_ms, module, asked, count);
}

static void remember_types(TtSymbols *symbols, Known *known, gconstpointer asked,
                           TtAnswerBlock *block) {
    const TtSymbolVariable *variables = asked;

    for (gsize i = 0; i < block->answer_count; i++) {
        const TtSymbolAnswer *answer = &block->answers[i];
        const char *type = answer->frame_count > 0 ? answer->frames[0].function : NULL;
        char *key = type_key(&variables[i]);

        symbols->block_bytes += strlen(key) + 1;
        g_hash_table_insert(known->types, key, (gpointer)(type ? type : no_type));
    }
    g_free(block);
}

static const Kind types_kind = {
    .element_bytes = sizeof(TtSymbolVariable),
    .count_max = TT_EXCHANGE_VARIABLES_MAX,
    .write = write_variables,
    .remember = remember_types,
};

static gint compare_variables(gconstpointer a, gconstpointer b) {
    const TtSymbolVariable *left = a, *right = b;

    if (left->addr != right->addr)
        return left->addr < right->addr ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* What is longer than any variable's name is no variable: its type is never asked for. */
static gboolean is_variable_name(const char *name) {
    return *name && strnlen(name, TT_EXCHANGE_VARIABLE_BYTES + 1) <= TT_EXCHANGE_VARIABLE_BYTES;
}

/* Sets every type that is known, and collects the variables of the others. */
static void look_up_types(TtSymbols *symbols, const Known *known, const TtSymbolVariable *variables,
                          gsize count, const char **ret_types, GArray *missing) {
    g_mutex_lock(&symbols->cache_lock);
    g_array_set_size(missing, 0);
    for (gsize i = 0; i < count; i++) {
        g_autofree char *key = NULL;
        const char *type;

        ret_types[i] = NULL;
        if (!is_variable_name(variables[i].name))
            continue;
        key = type_key(&variables[i]);
        type = g_hash_table_lookup(known->types, key);
        if (!type)
            g_array_append_val(missing, variables[i]);
        else if (type != no_type)
            ret_types[i] = type;
    }
    g_mutex_unlock(&symbols->cache_lock);
}

gboolean tt_symbols_find_variable_types(TtSymbols *symbols, const TtSymbolModule *module,
                                        const TtSymbolVariable *variables, gsize count,
                                        const char **ret_types, GError **error) {
    g_autoptr(GArray) missing = g_array_new(FALSE, FALSE, sizeof(TtSymbolVariable));
    gboolean is_good = TRUE;
    Known *known;

    if (!is_askable(module)) {
        for (gsize i = 0; i < count; i++)
            ret_types[i] = NULL;
        return TRUE;
    }
    tt_symbols_hold(symbols);
    known = lock_and_get_known(symbols, module);
    look_up_types(symbols, known, variables, count, ret_types, missing);
    if (missing->len > 0) {
        g_mutex_lock(&symbols->exchange_lock);
        /* As in tt_symbols_resolve(). */
        look_up_types(symbols, known, variables, count, ret_types, missing);
        sort_uniquely(missing, sizeof(TtSymbolVariable), compare_variables);
        is_good = ask_all(symbols, &types_kind, module, known, missing, error);
        g_mutex_unlock(&symbols->exchange_lock);
        look_up_types(symbols, known, variables, count, ret_types, missing);
    }
    tt_symbols_release(symbols);
    return is_good;
}

/* ---- The cache ---- */

TtSymbolsLack tt_symbols_get_lack(TtSymbols *symbols, const TtSymbolModule *module) {
    TtSymbolsLack lack = TT_SYMBOLS_LACK_FILE;

    if (!is_askable(module))
        return lack;
    g_mutex_lock(&symbols->cache_lock);
    lack = get_known(symbols, module)->lack;
    g_mutex_unlock(&symbols->cache_lock);
    return lack;
}

void tt_symbols_hold(TtSymbols *symbols) {
    g_mutex_lock(&symbols->cache_lock);
    symbols->hold_count++;
    g_mutex_unlock(&symbols->cache_lock);
}

void tt_symbols_release(TtSymbols *symbols) {
    g_mutex_lock(&symbols->cache_lock);
    g_assert(symbols->hold_count > 0);
    symbols->hold_count--;
    g_mutex_unlock(&symbols->cache_lock);
}

static gboolean is_over_limit(const TtSymbols *symbols) {
    return symbols->answer_count > symbols->answer_limit ||
           symbols->string_bytes + symbols->block_bytes > BYTES_MANY ||
           g_hash_table_size(symbols->modules) > MODULES_MANY;
}

/* GHRFunc: forgets all but the modules that cost processes, as long as those are few. */
static gboolean is_forgotten(gpointer key, gpointer value, gpointer data) {
    Known *known = value;
    const gboolean *keeps_strikes = data;

    (void)key;
    if (!*keeps_strikes || known->strike_count == 0)
        return TRUE;
    g_hash_table_remove_all(known->answers);
    g_ptr_array_set_size(known->blocks, 0);
    g_hash_table_remove_all(known->types);
    return FALSE;
}

gboolean tt_symbols_trim(TtSymbols *symbols) {
    gboolean is_due, keeps_strikes;

    g_mutex_lock(&symbols->cache_lock);
    is_due = symbols->hold_count == 0 && is_over_limit(symbols);
    if (is_due) {
        keeps_strikes = g_hash_table_size(symbols->modules) <= MODULES_MANY;
        g_hash_table_foreach_remove(symbols->modules, is_forgotten, &keeps_strikes);
        g_hash_table_remove_all(symbols->strings);
        symbols->string_bytes = symbols->block_bytes = symbols->answer_count = 0;
    }
    g_mutex_unlock(&symbols->cache_lock);
    return is_due;
}
