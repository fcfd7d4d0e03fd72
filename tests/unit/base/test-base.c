/* SPDX-License-Identifier: Apache-2.0 */
/* Workers, budgets, log lines. */
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/worker.h"

typedef struct Trail {
    GString *letters;
    guint destroyed;
    TtWorker *worker;
    GThread *thread;
} Trail;

typedef struct Letter {
    Trail *trail;
    char letter;
} Letter;

static void run_letter(gpointer data) {
    Letter *letter = data;

    g_string_append_c(letter->trail->letters, letter->letter);
    letter->trail->thread = g_thread_self();
}

static void free_letter(gpointer data) {
    Letter *letter = data;

    letter->trail->destroyed++;
    g_free(letter);
}

static void send_letter(Trail *trail, char c) {
    Letter *letter = g_new(Letter, 1);

    *letter = (Letter){trail, c};
    tt_worker_send(trail->worker, run_letter, letter, free_letter);
}

static void test_messages_run_in_order_and_before_the_end(void) {
    Trail trail = {.letters = g_string_new(NULL), .worker = tt_worker_new("order")};

    for (guint i = 0; i < 1000; i++)
        send_letter(&trail, (char)('a' + i % 26));
    tt_worker_free(trail.worker);
    g_assert_cmpuint(trail.letters->len, ==, 1000);
    for (guint i = 0; i < 1000; i++)
        g_assert_cmpint(trail.letters->str[i], ==, 'a' + i % 26);
    g_assert_cmpuint(trail.destroyed, ==, 1000);
    g_assert_true(trail.thread != g_thread_self());
    g_string_free(trail.letters, TRUE);
}

static void run_call_within(gpointer data) {
    Trail *trail = data;

    send_letter(trail, 'b');
    tt_worker_call(trail->worker, run_letter, &(Letter){trail, 'a'}); /* at once: it is the owner */
}

static void test_call_waits_and_does_not_hang_on_itself(void) {
    Trail trail = {.letters = g_string_new(NULL), .worker = tt_worker_new("call")};

    tt_worker_call(trail.worker, run_call_within, &trail);
    g_assert_cmpint(trail.letters->str[0], ==, 'a');
    tt_worker_call(trail.worker, run_letter, &(Letter){&trail, 'c'});
    g_assert_cmpstr(trail.letters->str, ==, "abc");
    tt_worker_free(trail.worker);
    g_string_free(trail.letters, TRUE);
}

/* What the last messages send is run too: a session's last reader gives it up there. */
static void run_send_more(gpointer data) { send_letter(data, 'z'); }

static void test_what_last_messages_send_is_run(void) {
    Trail trail = {.letters = g_string_new(NULL), .worker = tt_worker_new("last")};

    tt_worker_send(trail.worker, run_send_more, &trail, NULL);
    tt_worker_free(trail.worker);
    g_assert_cmpstr(trail.letters->str, ==, "z");
    g_assert_cmpuint(trail.destroyed, ==, 1);
    g_string_free(trail.letters, TRUE);
}

/* ---- Whether a worker hangs ---- */

typedef struct Gate {
    GMutex lock;
    gint has_begun, notes; /* atomic: how far it is; how often it is to note progress */
    gint noted;            /* atomic */
} Gate;

/* Works until the lock is free, and notes progress as often as it is told. */
static void run_long(gpointer data) {
    Gate *gate = data;

    g_atomic_int_set(&gate->has_begun, TRUE);
    while (!g_mutex_trylock(&gate->lock)) {
        if (g_atomic_int_get(&gate->noted) == g_atomic_int_get(&gate->notes))
            continue;
        tt_worker_note_progress();
        g_atomic_int_inc(&gate->noted);
    }
    g_mutex_unlock(&gate->lock);
}

static void do_nothing(gpointer data) { (void)data; }

static void test_worker_that_does_not_come_round_has_not_answered(void) {
    TtWorker *worker = tt_worker_new("round");
    Gate gate = {0};

    g_mutex_init(&gate.lock);
    g_mutex_lock(&gate.lock);
    g_assert_true(tt_worker_has_answered(worker));
    tt_worker_call(worker, do_nothing, NULL);
    g_assert_true(tt_worker_has_answered(worker));
    tt_worker_call(worker, do_nothing, NULL);

    tt_worker_send(worker, run_long, &gate, NULL);
    while (!g_atomic_int_get(&gate.has_begun))
        g_thread_yield();
    g_assert_true(tt_worker_has_answered(worker)); /* what was asked before it hung */
    g_assert_false(tt_worker_has_answered(worker));
    g_assert_false(tt_worker_has_answered(worker));

    tt_worker_note_progress(); /* of a thread that is no worker's */
    g_assert_false(tt_worker_has_answered(worker));
    g_atomic_int_set(&gate.notes, 1);
    while (g_atomic_int_get(&gate.noted) < 1)
        g_thread_yield();
    g_assert_true(tt_worker_has_answered(worker));
    g_assert_false(tt_worker_has_answered(worker));

    g_mutex_unlock(&gate.lock);
    tt_worker_call(worker, do_nothing, NULL);
    g_assert_true(tt_worker_has_answered(worker));
    tt_worker_free(worker);
    g_mutex_clear(&gate.lock);
}

static void test_budget_never_gives_more_than_it_has(void) {
    TtBudget budget;

    tt_budget_init(&budget, 100, NULL);
    g_assert_true(tt_budget_take(&budget, 60));
    g_assert_false(tt_budget_take(&budget, 41));
    g_assert_false(tt_budget_take(&budget, G_MAXSIZE));
    g_assert_true(tt_budget_take(&budget, 40));
    g_assert_false(tt_budget_take(&budget, 1));
    tt_budget_force(&budget, 50);
    g_assert_false(tt_budget_take(&budget, 0));
    tt_budget_give(&budget, 60);
    g_assert_true(tt_budget_take(&budget, 10));
    g_assert_cmpuint(tt_budget_get_used(&budget), ==, 100);
}

static gpointer run_takes(gpointer data) {
    gsize taken = 0;

    for (guint i = 0; i < 100000; i++)
        taken += tt_budget_take(data, 1);
    return GSIZE_TO_POINTER(taken);
}

static void test_budget_is_shared(void) {
    TtBudget budget;
    GThread *threads[3];
    gsize taken = 0;

    tt_budget_init(&budget, 150000, NULL);
    for (guint i = 0; i < 3; i++)
        threads[i] = g_thread_new("takes", run_takes, &budget);
    for (guint i = 0; i < 3; i++)
        taken += GPOINTER_TO_SIZE(g_thread_join(threads[i]));
    g_assert_cmpuint(taken, ==, 150000);
}

/* Takes byte by byte what it can get. */
static gsize take_all(TtBudget *budget) {
    while (tt_budget_take(budget, 1))
        ;
    return tt_budget_get_used(budget);
}

static void test_pool_leaves_something_for_who_comes(void) {
    TtPool pool;
    TtBudget greedy[10], small[16];
    gsize sum = 0;

    tt_pool_init(&pool, 256000, NULL, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(greedy); i++) {
        gsize left = sum < 240000 ? 240000 - sum : 0; /* but for the sixteenth of the small */

        tt_budget_init(&greedy[i], G_MAXSIZE, &pool);
        gsize taken = take_all(&greedy[i]);
        g_assert_cmpuint(taken, ==, MAX(left / 2, 1000));
        sum += taken;
    }
    for (guint i = 0; i < G_N_ELEMENTS(small); i++) {
        tt_budget_init(&small[i], G_MAXSIZE, &pool);
        sum += take_all(&small[i]);
        g_assert_cmpuint(sum, <=, 256000);
    }
    g_assert_cmpuint(tt_budget_get_used(&small[8]), ==, 1000);
    g_assert_cmpuint(sum, ==, 256000);

    /* What is given back is there for the others. */
    tt_budget_give(&greedy[0], 120000);
    g_assert_cmpuint(take_all(&small[0]), ==, 1000 + (120000 - 16000 - 1000) / 2);
}

static void test_pool_is_charged_by_who_must_go_on(void) {
    TtPool pool;
    TtBudget forced, other;

    tt_pool_init(&pool, 256000, NULL, NULL);
    tt_budget_init(&forced, 1000, &pool);
    tt_budget_init(&other, 1000, &pool);
    tt_budget_force(&forced, 256000);
    g_assert_false(tt_budget_has_overdrawn_pool(&other));
    g_assert_false(tt_budget_take(&other, 1));
    tt_budget_force(&other, 1);
    g_assert_true(tt_budget_has_overdrawn_pool(&other));
    tt_budget_leave_pool(&forced);
    g_assert_false(tt_budget_has_overdrawn_pool(&other));
    g_assert_cmpuint(take_all(&other), ==, 1000);
    tt_budget_give(&forced, 256000);
    tt_budget_give(&other, 1000);
    g_assert_cmpuint(pool.used_bytes, ==, 0);
}

/* Ten of 20,000 bytes are kept; the pool is their keeper. */
static gboolean give_up_one(gpointer data) {
    TtPool *pool = data;

    if (pool->kept_bytes == 0)
        return FALSE;
    tt_pool_set_kept(pool, pool->kept_bytes - 20000);
    return TRUE;
}

static void test_what_is_kept_goes_when_it_must(void) {
    TtPool pool;
    TtBudget greedy, others[8];

    tt_pool_init(&pool, 256000, give_up_one, &pool);
    tt_pool_set_kept(&pool, 200000);
    tt_budget_init(&greedy, G_MAXSIZE, &pool);
    g_assert_true(tt_budget_take(&greedy, 20000));
    g_assert_cmpuint(pool.kept_bytes, ==, 200000);
    /* Two of them go until it holds an eighth, and none for more than what is left then. */
    g_assert_cmpuint(take_all(&greedy), ==, 40000);
    g_assert_cmpuint(pool.kept_bytes, ==, 160000);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        tt_budget_init(&others[i], G_MAXSIZE, &pool);
        g_assert_cmpuint(take_all(&others[i]), >=, 1000);
        g_assert_cmpuint(pool.used_bytes + pool.kept_bytes, <=, 256000);
    }
    g_assert_cmpuint(pool.kept_bytes, ==, 0);
}

/* However much is kept: nobody is told that there is no room where there would be for others. */
static void test_what_is_kept_goes_for_a_brief_budget(void) {
    TtPool pool;
    TtBudget brief;

    tt_pool_init(&pool, 256000, give_up_one, &pool);
    tt_pool_set_kept(&pool, 260000);
    tt_budget_init(&brief, G_MAXSIZE, &pool);
    brief.is_brief = TRUE;
    g_assert_true(tt_budget_take(&brief, 30000));
    g_assert_cmpuint(pool.kept_bytes, ==, 200000); /* beside the sixteenth for the small */
    /* No more of them go for what is beyond an eighth. */
    g_assert_cmpuint(take_all(&brief), ==, 40000 - 1);
    g_assert_cmpuint(pool.kept_bytes, ==, 200000);
}

/* Half of a pool is used, and most of the rest is kept. */
static void test_brief_budget_takes_all_that_is_left(void) {
    TtPool pool;
    TtBudget first, brief;

    tt_pool_init(&pool, 256000, give_up_one, &pool);
    tt_budget_init(&first, G_MAXSIZE, &pool);
    g_assert_true(tt_budget_take(&first, 100000));
    tt_pool_set_kept(&pool, 100000);
    tt_budget_init(&brief, G_MAXSIZE, &pool);
    brief.is_brief = TRUE;
    /* But what is for the small, a sixteenth. */
    g_assert_cmpuint(take_all(&brief), >=, 38000);
    g_assert_cmpuint(tt_budget_get_used(&brief), <=, 40000);
    g_assert_cmpuint(pool.kept_bytes, ==, 100000);
    tt_budget_give(&brief, tt_budget_get_used(&brief));
    g_assert_cmpuint(pool.used_bytes, ==, 100000);
}

static gpointer run_pool_takes(gpointer data) {
    TtBudget budget;

    tt_budget_init(&budget, G_MAXSIZE, data);
    for (guint i = 0; i < 100000; i++)
        if (tt_budget_take(&budget, 7))
            tt_budget_give(&budget, 3);
    return GSIZE_TO_POINTER(tt_budget_get_used(&budget));
}

static void test_pool_is_shared(void) {
    TtPool pool;
    GThread *threads[3];
    gsize used = 0;

    tt_pool_init(&pool, 256000, NULL, NULL);
    for (guint i = 0; i < 3; i++)
        threads[i] = g_thread_new("takes", run_pool_takes, &pool);
    for (guint i = 0; i < 3; i++)
        used += GPOINTER_TO_SIZE(g_thread_join(threads[i]));
    g_assert_cmpuint(used, ==, pool.used_bytes);
    g_assert_cmpuint(used, <=, 240000);
    g_assert_cmpuint(used, >, 170000);
}

static void test_sizes(void) {
    static const struct {
        const char *text;
        gsize bytes;
    } good[] = {{"0", 0}, {"123", 123}, {"4k", 4096}, {"64M", 64 << 20}, {"2G", (gsize)2 << 30}};
    static const char *const bad[] = {"",
                                      "M",
                                      "-1",
                                      "1.5G",
                                      "1T",
                                      "1MB",
                                      " 1",
                                      "1 M",
                                      "0x10",
                                      "99999999999G",
                                      "18446744073709551616"};
    gsize bytes = 7;

    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_true(tt_limits_parse_size(good[i].text, &bytes));
        g_assert_cmpuint(bytes, ==, good[i].bytes);
    }
    bytes = 7;
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(tt_limits_parse_size(bad[i], &bytes));
    g_assert_cmpuint(bytes, ==, 7);
    g_assert_cmpuint(tt_limits_default_memory(), >, 1 << 20);
    g_assert_cmpuint(tt_limits_default_memory(), <=, 1 << 30);
}

static void test_foreign_text_is_harmless(void) {
    g_autofree char *escaped = tt_log_escape("a\x1b[31m\n\\\xff", 9);
    g_autofree char *cut = NULL;
    char longer[1000];

    g_assert_cmpstr(escaped, ==, "a\\x1b[31m\\x0a\\x5c\\xff");
    memset(longer, 'x', sizeof longer);
    cut = tt_log_escape(longer, sizeof longer);
    g_assert_cmpuint(strlen(cut), <, 220);
    g_assert_true(g_str_has_suffix(cut, "…"));
}

static void test_log_gate_counts_what_it_holds_back(void) {
    TtLogGate gate = {0};
    guint passed = 0, held_back = 0;

    for (guint i = 0; i < 100; i++)
        passed += tt_log_gate_pass(&gate, &held_back);
    g_assert_cmpuint(passed, ==, 5);
    gate.since_us -= 11 * G_USEC_PER_SEC;
    g_assert_true(tt_log_gate_pass(&gate, &held_back));
    g_assert_cmpuint(held_back, ==, 95);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/messages_run_in_order_and_before_the_end",
                    test_messages_run_in_order_and_before_the_end);
    g_test_add_func("/base/call_waits_and_does_not_hang_on_itself",
                    test_call_waits_and_does_not_hang_on_itself);
    g_test_add_func("/base/what_last_messages_send_is_run", test_what_last_messages_send_is_run);
    g_test_add_func("/base/worker_that_does_not_come_round_has_not_answered",
                    test_worker_that_does_not_come_round_has_not_answered);
    g_test_add_func("/base/budget_never_gives_more_than_it_has",
                    test_budget_never_gives_more_than_it_has);
    g_test_add_func("/base/budget_is_shared", test_budget_is_shared);
    g_test_add_func("/base/pool_leaves_something_for_who_comes",
                    test_pool_leaves_something_for_who_comes);
    g_test_add_func("/base/pool_is_charged_by_who_must_go_on",
                    test_pool_is_charged_by_who_must_go_on);
    g_test_add_func("/base/what_is_kept_goes_when_it_must", test_what_is_kept_goes_when_it_must);
    g_test_add_func("/base/what_is_kept_goes_for_a_brief_budget",
                    test_what_is_kept_goes_for_a_brief_budget);
    g_test_add_func("/base/brief_budget_takes_all_that_is_left",
                    test_brief_budget_takes_all_that_is_left);
    g_test_add_func("/base/pool_is_shared", test_pool_is_shared);
    g_test_add_func("/base/sizes", test_sizes);
    g_test_add_func("/base/foreign_text_is_harmless", test_foreign_text_is_harmless);
    g_test_add_func("/base/log_gate_counts_what_it_holds_back",
                    test_log_gate_counts_what_it_holds_back);
    return g_test_run();
}
