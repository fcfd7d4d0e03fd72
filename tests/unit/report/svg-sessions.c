/* SPDX-License-Identifier: Apache-2.0 */
/* A session is made from lives: site, size, birth, death. They are played in order of time, which
 * gives every figure that a snapshot has. */
#include "svg-sessions.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#define MS G_GUINT64_CONSTANT(1000000)
#define SECOND (1000 * MS)

#define APP 0x400000u
#define SITE_FIRST 10u

const char *const svg_session_names[] = {"server",  "running", "leaks",   "burst",
                                         "instant", "hostile", "sampled", NULL};

const char *const svg_view_names[] = {"overview", "top", "lifecycles", NULL};

typedef struct Player {
    Sample *sample;
    GArray *lives; /* of TtBlockRow; the site is in stack */
    guint64 random;
    guint64 sample_bytes; /* 0: every life is told */
} Player;

/* Numerical Recipes' generator: the same session every time. */
static guint roll(Player *player, guint sides) {
    player->random = player->random * 6364136223846793005u + 1442695040888963407u;
    return (guint)(player->random >> 33) % sides;
}

static char *keep(Sample *sample, char *text) {
    g_ptr_array_add(sample->texts, text);
    return text;
}

static void add_site(Player *player, guint index, const char *function, const char *file,
                     guint line) {
    guint64 ips[] = {APP + 0x100 + 16 * index, APP + 0x40, 0};
    TtSiteRow site = {.stack = SITE_FIRST + index};

    synthetic_add_stack(player->sample->snapshot, SITE_FIRST + index, ips);
    if (function)
        synthetic_add_name(player->sample->symbols, ips[0] - APP - 1, function, file, line, FALSE);
    g_array_append_val(player->sample->snapshot->sites, site);
}

static void add_sites(Player *player, guint count) {
    static const char *const verbs[] = {"parse",  "load",  "index", "render", "route",
                                        "decode", "merge", "queue", "format", "copy"};
    static const char *const nouns[] = {"request",
                                        "header",
                                        "session",
                                        "page",
                                        "node",
                                        "document",
                                        "connection_pool_entries",
                                        "query",
                                        "row_group",
                                        "std::vector<Token>::"};

    for (guint i = 0; i < count; i++) {
        const char *noun = nouns[i / 10 % 10];
        char *function = keep(player->sample, g_strdup_printf("%s_%s", verbs[i % 10], noun));
        char *file = keep(player->sample, g_strdup_printf("/src/server/%s.c", verbs[i % 10]));

        /* Some of a library without names. */
        add_site(player, i, i % 23 == 22 ? NULL : function, file, 40 + 7 * i);
    }
}

static TtBlockRow *add_life(Player *player, guint site, guint64 size, guint64 born_ns,
                            guint64 died_ns) {
    TtBlockRow row = synthetic_block(0, 0, size, SITE_FIRST + site);

    row.born_ns = born_ns;
    row.died_ns = died_ns;
    row.thread = roll(player, 8);
    row.freed_by = died_ns == TT_TIME_NONE ? TT_NONE : roll(player, 8);
    g_array_append_val(player->lives, row);
    return &g_array_index(player->lives, TtBlockRow, player->lives->len - 1);
}

static gint compare_births(gconstpointer a, gconstpointer b) {
    const TtBlockRow *left = a, *right = b;

    return left->born_ns < right->born_ns ? -1 : left->born_ns > right->born_ns;
}

static gint compare_deaths(gconstpointer a, gconstpointer b) {
    const TtBlockRow *left = a, *right = b;

    return left->died_ns < right->died_ns ? -1 : left->died_ns > right->died_ns;
}

static TtSiteRow *get_site(TtSnapshot *snapshot, guint32 stack) {
    return &g_array_index(snapshot->sites, TtSiteRow, stack - SITE_FIRST);
}

static void note_time(TtSnapshot *snapshot, guint64 t_ns) {
    TtTotals *totals = &snapshot->totals;
    TtTimePoint point = {t_ns, totals->live_bytes, totals->live_blocks};

    g_array_append_val(snapshot->timeline, point);
    for (guint i = 0; i < snapshot->marks->len; i++) {
        TtMarkRow *mark = &g_array_index(snapshot->marks, TtMarkRow, i);
        if (mark->t_ns >= t_ns) {
            mark->live_bytes = totals->live_bytes;
            mark->live_blocks = totals->live_blocks;
        }
    }
    if (totals->live_bytes <= totals->peak_bytes)
        return;
    totals->peak_bytes = totals->live_bytes;
    totals->peak_blocks = totals->live_blocks;
    totals->peak_ns = t_ns;
    for (guint i = 0; i < snapshot->sites->len; i++) {
        TtSiteRow *site = &g_array_index(snapshot->sites, TtSiteRow, i);
        site->peak_bytes = site->live_bytes;
        site->peak_blocks = site->live_blocks;
    }
}

static void play_birth(TtSnapshot *snapshot, const TtBlockRow *row) {
    TtSiteRow *site = get_site(snapshot, row->stack);

    snapshot->totals.live_bytes += row->weight.bytes;
    snapshot->totals.live_blocks += row->weight.blocks;
    snapshot->totals.cumulative_allocated += row->weight.bytes;
    snapshot->totals.cumulative_allocations += row->weight.blocks;
    snapshot->totals.events++;
    site->live_bytes += row->weight.bytes;
    site->live_blocks += row->weight.blocks;
    site->cumulative_bytes += row->weight.bytes;
    site->cumulative_blocks += row->weight.blocks;
    note_time(snapshot, row->born_ns);
}

static void play_death(TtSnapshot *snapshot, const TtBlockRow *row) {
    TtSiteRow *site = get_site(snapshot, row->stack);

    snapshot->totals.live_bytes -= row->weight.bytes;
    snapshot->totals.live_blocks -= row->weight.blocks;
    snapshot->totals.cumulative_freed += row->weight.bytes;
    snapshot->totals.cumulative_frees += row->weight.blocks;
    snapshot->totals.events++;
    site->live_bytes -= row->weight.bytes;
    site->live_blocks -= row->weight.blocks;
    site->freed_bytes += row->weight.bytes;
    site->freed_blocks += row->weight.blocks;
    note_time(snapshot, row->died_ns);
}

/* No two things happen in one nanosecond: what was alive at the peak is then beyond doubt. */
static void spread(Player *player, guint64 grain_ns) {
    for (guint i = 0; i < player->lives->len && grain_ns > 0; i++) {
        TtBlockRow *row = &g_array_index(player->lives, TtBlockRow, i);

        g_assert_cmpuint(2 * i + 1, <, grain_ns);
        g_assert_cmpuint(row->born_ns, <, row->died_ns);
        row->born_ns -= row->born_ns % grain_ns;
        row->born_ns += 2 * i;
        if (row->died_ns != TT_TIME_NONE)
            row->died_ns += 2 * i + 1 - row->died_ns % grain_ns;
    }
}

static void play(Player *player) {
    TtSnapshot *snapshot = player->sample->snapshot;
    guint next_death = 0;

    g_array_sort(player->lives, compare_births);
    for (guint i = 0; i < player->lives->len; i++) {
        TtBlockRow *row = &g_array_index(player->lives, TtBlockRow, i);
        row->id = i + 1;
        row->addr = 0x10000000 + 64 * (guint64)i;
        if (row->died_ns == TT_TIME_NONE)
            g_array_append_val(snapshot->live, *row);
        else
            g_array_append_val(snapshot->freed, *row);
    }
    g_array_sort(snapshot->freed, compare_deaths);
    for (guint i = 0; i <= player->lives->len; i++) {
        gboolean is_end = i == player->lives->len;
        guint64 until = is_end ? TT_TIME_NONE : g_array_index(player->lives, TtBlockRow, i).born_ns;

        for (; next_death < snapshot->freed->len; next_death++) {
            const TtBlockRow *row = &g_array_index(snapshot->freed, TtBlockRow, next_death);
            if (row->died_ns >= until)
                break;
            play_death(snapshot, row);
        }
        if (!is_end)
            play_birth(snapshot, &g_array_index(player->lives, TtBlockRow, i));
    }
}

static void add_variable(Sample *sample, const char *name, const char *type, guint line) {
    TtVariableRow variable = {.name = (char *)name,
                              .type = (char *)type,
                              .file = (char *)"/src/server/main.c",
                              .function = (char *)"main",
                              .line = line,
                              .stack = 10};

    g_array_append_val(sample->snapshot->variables, variable);
}

static void add_mark(Sample *sample, const char *name, guint64 t_ns) {
    TtMarkRow mark = {.name = (char *)name, .t_ns = t_ns};

    g_array_append_val(sample->snapshot->marks, mark);
}

static Player player_new(void) {
    static char *command_line[] = {(char *)"./server", (char *)"--listen=127.0.0.1:8080",
                                   (char *)"--workers=8", (char *)"data/", NULL};
    Player player = {.sample = sample_new("empty"), .random = 42};
    TtSnapshot *snapshot = player.sample->snapshot;

    player.lives = g_array_new(FALSE, FALSE, sizeof(TtBlockRow));
    player.sample->symbols = synthetic_symbols_new();
    snapshot->info.exe = (char *)"/usr/local/bin/server";
    snapshot->info.command_line = command_line;
    for (guint i = 0; i < TT_SESSION_ID_BYTES; i++)
        snapshot->info.id[i] = (guint8)(0x3a + 37 * i);
    snapshot->state = TT_SESSION_EXITED;
    snapshot->exit_status = 0;
    synthetic_add_module(snapshot, "/usr/local/bin/server", APP);
    for (guint i = 0; i < 8; i++) {
        TtThreadRow thread = {.tid = 4711 + i,
                              .name = keep(player.sample, g_strdup_printf("worker-%u", i))};
        g_array_append_val(snapshot->threads, thread);
    }
    return player;
}

/* A sample of the server: of each life as many as chance has it, standing for the others. */
static void draw_sample(Player *player, guint64 mean_bytes) {
    guint kept = 0;

    for (guint i = 0; i < player->lives->len; i++) {
        TtBlockRow row = g_array_index(player->lives, TtBlockRow, i);
        double p = 1 - exp(-(double)row.size / (double)mean_bytes);

        if (roll(player, 1u << 30) >= p * (1u << 30))
            continue;
        row.weight = (TtAmount){(guint64)(1 / p + 0.5), (guint64)((double)row.size / p + 0.5)};
        g_array_index(player->lives, TtBlockRow, kept++) = row;
    }
    g_array_set_size(player->lives, kept);
}

/* Standard errors of what is alive, was at the peak, and ever was. */
static void add_errors(TtSnapshot *snapshot, const GArray *lives, guint64 mean_bytes) {
    double live = 0, cumulative = 0, peak = 0;

    for (guint i = 0; i < lives->len; i++) {
        const TtBlockRow *row = &g_array_index(lives, TtBlockRow, i);
        double bytes = (double)row->weight.bytes;
        double variance = exp(-(double)row->size / (double)mean_bytes) * bytes * bytes;

        cumulative += variance;
        live += row->died_ns == TT_TIME_NONE ? variance : 0;
        if (row->born_ns <= snapshot->totals.peak_ns && row->died_ns > snapshot->totals.peak_ns)
            peak += variance;
    }
    snapshot->sample = (TtSample){.mean_bytes = mean_bytes, .allocations = lives->len};
    snapshot->sample.errors.live.bytes = (guint64)sqrt(live);
    snapshot->sample.errors.cumulative.bytes = (guint64)sqrt(cumulative);
    snapshot->sample.errors.peak.bytes = (guint64)sqrt(peak);
    snapshot->completeness.exact = FALSE;
}

static Sample *player_finish(Player *player, guint64 end_ns, guint64 grain_ns) {
    player->sample->snapshot->time_ns = end_ns;
    if (player->sample_bytes > 0)
        draw_sample(player, player->sample_bytes);
    spread(player, grain_ns);
    play(player);
    if (player->sample_bytes > 0)
        add_errors(player->sample->snapshot, player->lives, player->sample_bytes);
    g_array_unref(player->lives);
    return player->sample;
}

/* Start-up, work that swells to the middle and ebbs, a little that is left behind. */
static Sample *make_server(gboolean is_running, guint64 sample_bytes) {
    Player player = player_new();
    const guint64 end = 12400 * MS;

    player.sample_bytes = sample_bytes;
    add_sites(&player, 200);
    add_variable(player.sample, "numbers", "int[256]", 31);
    add_variable(player.sample, "text", "char *", 38);
    add_variable(player.sample, "cache", "", 47);
    synthetic_add_type(player.sample->symbols, "cache", "struct Cache *");
    add_mark(player.sample, "loaded", 1400 * MS);
    add_mark(player.sample, "warm", 3100 * MS);
    add_mark(player.sample, "traffic stops", 9300 * MS);

    for (guint i = 0; i < 300; i++) { /* tables, for good or until the end */
        guint site = roll(&player, 40);
        guint64 size = 64u << roll(&player, 10);
        guint64 born = roll(&player, 1400) * MS;
        guint64 died = end - (1 + roll(&player, 300)) * MS;

        add_life(&player, site, size, born, is_running || i % 30 == 0 ? TT_TIME_NONE : died);
    }
    for (guint i = 0; i < 40000; i++) {
        /* More at once towards the middle: longer lives there. */
        guint64 born = 1400 * MS + roll(&player, 7900) * MS + roll(&player, 1000000);
        gint64 away = ABS((gint64)(born - 6200 * MS));
        guint64 span = (guint64)MAX(4800 * (gint64)MS - away, (gint64)(60 * MS)) / 4;
        guint64 died = born + 1000 + player.random % span;
        guint site = roll(&player, roll(&player, 200) + 1);
        guint64 size = 16u << roll(&player, 8);

        add_life(&player, site, size, born, MIN(died, is_running ? 12200 * MS : end - MS));
    }
    for (guint i = 0; i < 120; i++)
        add_life(&player, 3, 96 * 1024, (4200 + 11 * i) * MS, (5600 + 18 * i) * MS);
    add_life(&player, 1, 1024, 320 * MS, TT_TIME_NONE)->variable = 0;
    add_life(&player, 2, 4096, 900 * MS, 11800 * MS)->variable = 1;
    add_life(&player, 12, 3u << 20, 1350 * MS, is_running ? TT_TIME_NONE : 12100 * MS)->variable =
        2;
    player.sample->snapshot->state = is_running ? TT_SESSION_RUNNING : TT_SESSION_EXITED;
    return player_finish(&player, end, 100000);
}

static Sample *make_leaks(void) {
    Player player = player_new();

    add_sites(&player, 9);
    add_variable(player.sample, "session_table", "struct Session **", 12);
    for (guint i = 0; i < 400; i++) {
        guint site = roll(&player, 9);

        add_life(&player, site, 100 + roll(&player, 5000), 3 * MS * i, TT_TIME_NONE);
    }
    add_life(&player, 4, 65536, 20 * MS, TT_TIME_NONE)->variable = 0;
    player.sample->snapshot->state = TT_SESSION_KILLED;
    player.sample->snapshot->exit_status = 9;
    return player_finish(&player, 1200 * MS, 1000);
}

static Sample *make_burst(void) {
    Player player = player_new();

    add_sites(&player, 12);
    add_variable(player.sample, "scratch", "double[]", 77);
    for (guint i = 0; i < 900; i++) {
        guint site = roll(&player, 11);
        guint64 size = 24 + roll(&player, 900);
        guint64 born = roll(&player, 800000);

        add_life(&player, site, size, born, born + 50 + roll(&player, 40000));
    }
    add_life(&player, 11, 20000, 300000, 700000)->variable = 0;
    add_mark(player.sample, "half", 420000);
    Sample *sample = player_finish(&player, 850 * 1000, 2000);
    sample->snapshot->completeness.history_dropped = 1234; /* the older freed ones */
    return sample;
}

static Sample *make_instant(void) {
    Player player = player_new();

    add_sites(&player, 2);
    add_life(&player, 0, 8, 0, TT_TIME_NONE);
    add_life(&player, 1, 0, 0, TT_TIME_NONE);
    return player_finish(&player, 0, 0);
}

static Sample *make_hostile(void) {
    static const char *const names[] = {
        "</script><script>alert(1)</script>",
        "]]> -- & \" ' <![CDATA[ &amp; %s %n",
        "line\nbreak\ttab\x01\x1b[31mred\x7f",
        "\xff\xfe invalid \xc3\x28 \xed\xa0\x80 surrogate",
        "\xef\xbf\xbe\xef\xbf\xbf not characters \xf0\x9f\xbf\xbe",
        "user\xe2\x80\xae"
        "gnp.exe\xe2\x80\xac and \xe2\x81\xa6isolates\xe2\x81\xa9",
        "مرحبا بالعالم اسم طويل جدا للمتغير في البرنامج",
        "漢字仮名交じり文の変数名はとても長いので切られるはずです",
        "שלום עולם",
        "👩‍👩‍👧‍👦 families "
        "🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉",
        "﷽﷽﷽﷽﷽﷽﷽﷽",
        "ЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩ",
        "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
        "      spaces      ",
        "",
    };
    static const char *const types[] = {"std::map<std::string, std::vector<int>>", "", "日本 *"};
    Player player = player_new();
    TtSnapshot *snapshot = player.sample->snapshot;
    GString *marks = g_string_new("zalgo");
    static char *command_line[] = {(char *)"./a b",
                                   (char *)"\xe2\x80\xae"
                                           "evil",
                                   (char *)"<&>\n", NULL};

    for (guint i = 0; i < 1000; i++)
        g_string_append(marks, "\xcc\x81");
    g_string_append(marks, "end");
    keep(player.sample, marks->str);
    for (guint i = 0; i < G_N_ELEMENTS(names) + 2; i++) {
        const char *name = i < G_N_ELEMENTS(names)    ? names[i]
                           : i == G_N_ELEMENTS(names) ? marks->str
                                                      : keep(player.sample, g_strnfill(65536, 'x'));
        char *function = keep(player.sample, g_utf8_make_valid(name, -1));

        add_site(&player, 2 * i, NULL, NULL, 0);
        add_site(&player, 2 * i + 1, function, function, 7);
        add_variable(player.sample, name, types[i % 3], i);
        add_life(&player, 2 * i, 1000 * (i + 1), i * MS, i % 2 ? 40 * MS : TT_TIME_NONE)->variable =
            i;
        add_life(&player, 2 * i + 1, 900 * (i + 1), i * MS, i % 2 ? TT_TIME_NONE : 30 * MS);
        add_mark(player.sample, name, (3 * i + 2) * MS);
    }
    g_string_free(marks, FALSE);
    snapshot->info.exe = (char *)"/tmp/\xe2\x80\xae</title><script>";
    snapshot->info.command_line = command_line;
    g_ptr_array_add(snapshot->completeness.doubts, g_strdup("<b>doubt\n\x80</b>"));
    snapshot->completeness.exact = FALSE;
    snapshot->completeness.dropped_events = 1;
    return player_finish(&player, 50 * MS, 1000);
}

Sample *svg_session_new(const char *name) {
    if (g_str_equal(name, "server") || g_str_equal(name, "running"))
        return make_server(g_str_equal(name, "running"), 0);
    if (g_str_equal(name, "sampled"))
        return make_server(FALSE, 16384);
    if (g_str_equal(name, "leaks"))
        return make_leaks();
    if (g_str_equal(name, "burst"))
        return make_burst();
    if (g_str_equal(name, "instant"))
        return make_instant();
    if (g_str_equal(name, "hostile"))
        return make_hostile();
    return sample_new(name);
}

char *svg_session_draw(Sample *sample, const char *view, guint top, gsize *ret_len) {
    int fd = memfd_create("picture", MFD_CLOEXEC);
    g_autoptr(TtSink) sink = tt_sink_new(fd);
    g_autoptr(GError) error = NULL;
    TtReportOptions options = sample->options;

    options.view = view;
    options.top = top;
    gboolean is_drawn = tt_report_svg(sample->snapshot, sample->symbols, &options, sink, &error);
    g_assert_no_error(error);
    g_assert_true(is_drawn);
    g_assert_true(tt_sink_flush(sink, &error));
    gsize len = tt_sink_get_bytes(sink);
    char *text = g_malloc(len + 1);
    g_assert_cmpint(pread(fd, text, len, 0), ==, (gssize)len);
    text[len] = '\0';
    close(fd);
    if (ret_len)
        *ret_len = len;
    return text;
}

void svg_session_inspect(const char *name, guint top, SvgInspect inspect) {
    Sample *sample = svg_session_new(name);

    for (gsize i = 0; svg_view_names[i]; i++) {
        gsize len;
        g_autofree char *document = svg_session_draw(sample, svg_view_names[i], top, &len);

        g_test_message("%s as %s: %" G_GSIZE_FORMAT " bytes", name, svg_view_names[i], len);
        inspect(sample, svg_view_names[i], document, len);
    }
    sample_free(sample);
}

void svg_session_inspect_all(SvgInspect inspect) {
    for (gsize i = 0; svg_session_names[i]; i++)
        svg_session_inspect(svg_session_names[i], 0, inspect);
    for (gsize i = 0; sample_names[i]; i++)
        svg_session_inspect(sample_names[i], 0, inspect);
}

void svg_session_inspect_extremes(SvgInspect inspect) {
    svg_session_inspect("server", 1, inspect);
    svg_session_inspect("server", G_MAXUINT, inspect);
    svg_session_inspect("hostile", 1, inspect);
    svg_session_inspect("hostile", G_MAXUINT, inspect);
}
