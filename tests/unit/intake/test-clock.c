/* SPDX-License-Identifier: Apache-2.0 */
/* What sleep does to clocks. The kernel's are read through this file, which can have the machine
 * sleep; the processor's counter cannot be told, so where that stands still or begins anew it is a
 * clock of the kernel's that does (TT_CLOCK_MONOTONIC), which is read in the same places. */
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "fake-model.h"
#include "intake/clock.h"
#include "intake/merger.h"
#include "intake/process.h"
#include "writer.h"

#define HOUR_NS ((gint64)3600 * 1000000000)

static gint64 monotonic_shift_ns, boottime_shift_ns;

int clock_gettime(clockid_t id, struct timespec *ret_time) {
    int r = (int)syscall(SYS_clock_gettime, id, ret_time);
    gint64 ns = ret_time->tv_sec * (gint64)1000000000 + ret_time->tv_nsec;

    if (id == CLOCK_MONOTONIC)
        ns += monotonic_shift_ns;
    if (id == CLOCK_BOOTTIME)
        ns += boottime_shift_ns;
    *ret_time = (struct timespec){ns / 1000000000, ns % 1000000000};
    return r;
}

static gint64 read_ns(clockid_t id) {
    struct timespec now;

    clock_gettime(id, &now);
    return now.tv_sec * (gint64)1000000000 + now.tv_nsec;
}

static void wait_ns(gint64 ns) {
    gint64 until = read_ns(CLOCK_MONOTONIC_RAW) + ns;

    while (read_ns(CLOCK_MONOTONIC_RAW) < until)
        ;
}

/* ---- How fast the counter goes ---- */

/* Nanoseconds a tick, by a clock that does not sleep here. */
static double measure_tick_ns(void) {
    guint64 ticks = __rdtsc();
    gint64 ns = read_ns(CLOCK_MONOTONIC_RAW);

    wait_ns(50000000);
    gint64 later = read_ns(CLOCK_MONOTONIC_RAW);
    return (double)(later - ns) / (double)(__rdtsc() - ticks);
}

static void check_scale(TtCalibration *calibration) {
    TtStampClock clock = {.kind = TT_CLOCK_TSC};
    TtTimescale scale;

    tt_calibration_get_scale(calibration, &clock, &scale);
    double told = (double)scale.mult / (double)((guint64)1 << scale.shift);
    double truth = measure_tick_ns();
    g_test_message("%.6f ns a tick, in truth %.6f", told, truth);
    g_assert_cmpfloat(fabs(told - truth), <, truth / 100);
}

static void test_fault_C13_counter_goes_on_while_the_machine_sleeps(void) {
    TtCalibration calibration;

    monotonic_shift_ns = boottime_shift_ns = 0;
    tt_calibration_init(&calibration);
    wait_ns(30000000);
    check_scale(&calibration);
    /* Eight hours in which the counter went on and the clock did not. */
    calibration.tsc -= (guint64)(8 * (double)HOUR_NS / measure_tick_ns());
    boottime_shift_ns = 8 * HOUR_NS;
    check_scale(&calibration);
    check_scale(&calibration);
}

static void test_fault_C13_counter_has_begun_anew(void) {
    TtCalibration calibration;

    monotonic_shift_ns = boottime_shift_ns = 0;
    tt_calibration_init(&calibration);
    calibration.tsc += (guint64)1 << 50;
    boottime_shift_ns = 8 * HOUR_NS;
    check_scale(&calibration);
}

/* ---- Whose a pid was ---- */

static char *describe_start(pid_t pid) {
    TtProcess process;

    tt_process_adopt(&process, (int)syscall(SYS_pidfd_open, pid, 0), pid);
    char *start = tt_process_describe_start(&process);
    tt_process_close(&process);
    return start;
}

/* The machine's first process, and this one as of another start of the machine. */
static void test_process_is_told_from_who_had_its_pid(void) {
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    g_autofree char *first = describe_start(1), *own = describe_start(getpid());
    g_autofree char *rebooted = g_strdup(own);
    rebooted[0] = rebooted[0] == '0' ? '1' : '0';

    waitpid(child, NULL, 0);
    g_assert_true(tt_process_began_at(getpid(), own));
    g_assert_true(tt_process_began_at(1, first));
    g_assert_true(tt_process_began_at(getpid(), NULL));
    g_assert_false(tt_process_began_at(getpid(), first));
    g_assert_false(tt_process_began_at(getpid(), rebooted));
    g_assert_false(tt_process_began_at(child, own));
    g_assert_false(tt_process_began_at(child, NULL));
}

/* ---- Another namespace ---- */

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* Its children's clock is a day ahead, not its own. FALSE: that may not be here. */
static gboolean go_elsewhere(void) {
    const char *offset = "monotonic 86400 0\n";
    int fd = unshare(CLONE_NEWTIME) < 0 ? -1 : open("/proc/self/timens_offsets", O_WRONLY);
    gboolean is_gone = fd >= 0 && write(fd, offset, strlen(offset)) > 0;

    if (fd >= 0)
        close(fd);
    return is_gone;
}

/* Writes its child's pid, 0: there is none; both wait to be killed. */
static void run_elsewhere(int out) {
    pid_t pid = 0;

    if (go_elsewhere() && (pid = fork()) == 0) {
        pause();
        _exit(0);
    }
    if (write(out, &pid, sizeof pid) == sizeof pid)
        pause();
    _exit(1);
}

static void test_fault_C13_offset_is_that_of_the_process_itself(void) {
    int ends[2];
    pid_t pid, child = 0;

    g_assert_cmpint(pipe(ends), ==, 0);
    pid = fork();
    if (pid == 0)
        run_elsewhere(ends[1]);
    g_assert_cmpint(read(ends[0], &child, sizeof child), ==, sizeof child);
    if (child > 0) {
        g_assert_cmpint(tt_process_get_clock_offset_ns(pid), ==, 0);
        g_assert_cmpint(tt_process_get_clock_offset_ns(child), ==, 24 * HOUR_NS);
        kill(child, SIGKILL);
    } else {
        g_test_skip("no process may go to another time here");
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ends[0]);
    close(ends[1]);
}

/* ---- A session that runs ---- */

typedef struct Bed {
    TtSession *session;
    TtSegment segment;
    TtBudget budget;
    TtMerger *merger;
    Writer writers[2];
} Bed;

static guint64 stamp(void) { return (guint64)read_ns(CLOCK_MONOTONIC); }

static void bed_open(Bed *bed) {
    TtSessionInfo info = {.timescale = {.mult = (guint64)1 << 32, .shift = 32}};
    TtStampClock clock = {.kind = TT_CLOCK_MONOTONIC};
    int fd;

    bed->session = tt_session_new(&info, NULL);
    g_assert_cmpint(tt_segment_init(&bed->segment, 0, &fd), ==, 0);
    close(fd);
    tt_budget_init(&bed->budget, 64 << 20, NULL);
    bed->merger = tt_merger_new(bed->session, &clock, &bed->budget, 4 << 20);
    tt_merger_add_segment(bed->merger, &bed->segment);
    for (guint i = 0; i < G_N_ELEMENTS(bed->writers); i++) {
        writer_init(&bed->writers[i], tt_segment_get_lane(&bed->segment, i),
                    tt_segment_get_chunks(&bed->segment, i), bed->segment.chunks_per_lane, i + 1);
        bed->writers[i].clock = stamp;
    }
}

static void bed_close(Bed *bed) {
    tt_merger_free(bed->merger);
    tt_segment_clear(&bed->segment);
    tt_session_free(bed->session);
}

/* Reads as a feed does, until so many events are told, for two seconds at most. */
static void bed_read(Bed *bed, guint64 count) {
    gint64 deadline = read_ns(CLOCK_MONOTONIC_RAW) + 2000000000;

    do {
        tt_merger_drain(bed->merger);
        while (tt_merger_merge(bed->merger, G_MAXUINT64, 1 << 20))
            ;
    } while (bed->session->event_count < count && read_ns(CLOCK_MONOTONIC_RAW) < deadline);
    g_assert_cmpuint(bed->session->event_count, ==, count);
}

/* One block passes between two threads: any disorder shows. */
static void pass_round(Bed *bed, guint rounds) {
    for (guint i = 0; i < rounds; i++) {
        Writer *writer = &bed->writers[i % 2];

        g_assert_true(writer_free(writer, 64, stamp()));
        g_assert_true(writer_alloc(writer, 64, 1, TT_STACK_NONE, stamp()));
        writer_publish(writer);
        wait_ns(20000); /* more than the merger's hindsight */
    }
}

/* Each of the first lanes on its own, until it begins another chunk: within one no stamp lies
 * before the last (encode.h), so that time stands still in it. */
static guint64 fill_chunks(Bed *bed, guint lanes) {
    guint64 count = 0;

    for (guint i = 0; i < lanes; i++) {
        Writer *writer = &bed->writers[i];

        for (guint64 begun = writer->number; writer->number == begun; count += 2) {
            g_assert_true(writer_alloc(writer, 128 + 64 * i, 1, TT_STACK_NONE, stamp()));
            g_assert_true(writer_free(writer, 128 + 64 * i, stamp()));
            writer_publish(writer);
        }
    }
    return count;
}

static void test_fault_C13_session_goes_on_where_its_clock_begins_anew(void) {
    Bed bed;

    monotonic_shift_ns = boottime_shift_ns = 0;
    bed_open(&bed);
    g_assert_true(writer_alloc(&bed.writers[0], 64, 1, TT_STACK_NONE, stamp()));
    writer_publish(&bed.writers[0]);
    pass_round(&bed, 100);
    bed_read(&bed, 201);
    guint64 before = bed.session->last_stamp;
    g_assert_cmpuint(bed.session->words->len, ==, 0);

    gint64 asleep = read_ns(CLOCK_MONOTONIC_RAW);
    monotonic_shift_ns = -(gint64)stamp() / 2;
    bed_read(&bed, 201); /* a look before the program goes on */
    guint64 count = 201 + fill_chunks(&bed, 2);
    bed_read(&bed, count);
    pass_round(&bed, 1000);
    bed_read(&bed, count + 2000);
    gint64 passed = read_ns(CLOCK_MONOTONIC_RAW) - asleep;

    g_assert_cmpuint(bed.session->impossible, ==, 0);
    g_assert_cmpuint(bed.session->disordered, ==, 0);
    guint64 told = bed.session->last_stamp - before;
    g_test_message("%" G_GUINT64_FORMAT " ns told of %" G_GINT64_FORMAT, told, passed);
    g_assert_cmpuint(told, >=, 1000 * 20000);
    g_assert_cmpuint(told, <=, (guint64)passed + 20000000);
    g_assert_cmpuint(bed.session->words->len, ==, 1);
    g_assert_nonnull(strstr(g_ptr_array_index(bed.session->words, 0), "counter began anew"));

    /* Until one can be sure that nothing earlier comes. */
    g_assert_cmpuint(tt_merger_read_clock(bed.merger), >, bed.session->last_stamp);
    bed_close(&bed);
}

/* One thread's blocks are another's to free. */
static void hand_over(Bed *bed, guint rounds) {
    for (guint i = 0; i < rounds; i++) {
        g_assert_true(writer_alloc(&bed->writers[0], 256, 1, TT_STACK_NONE, stamp()));
        writer_publish(&bed->writers[0]);
        wait_ns(20000);
        g_assert_true(writer_free(&bed->writers[1], 256, stamp()));
        writer_publish(&bed->writers[1]);
        wait_ns(20000);
    }
}

/* Its stamps are such as there have been before, in other lanes. */
static void test_fault_C13_lane_is_new_when_the_clock_has_begun_anew(void) {
    Bed bed;

    monotonic_shift_ns = boottime_shift_ns = 0;
    bed_open(&bed);
    g_assert_true(writer_alloc(&bed.writers[0], 64, 1, TT_STACK_NONE, stamp()));
    writer_publish(&bed.writers[0]);
    bed_read(&bed, 1);
    guint64 before = bed.session->last_stamp;

    monotonic_shift_ns = -(gint64)stamp() / 2;
    bed_read(&bed, 1);
    guint64 count = 1 + fill_chunks(&bed, 1);
    hand_over(&bed, 1000);
    bed_read(&bed, count + 2000);
    g_assert_cmpuint(bed.session->impossible, ==, 0);
    g_assert_cmpuint(bed.session->disordered, ==, 0);
    g_assert_cmpuint(bed.session->last_stamp, >=, before + 2000 * 20000);
    g_assert_cmpuint(bed.session->words->len, ==, 1);
    bed_close(&bed);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clock/fault_C13_counter_goes_on_while_the_machine_sleeps",
                    test_fault_C13_counter_goes_on_while_the_machine_sleeps);
    g_test_add_func("/clock/fault_C13_counter_has_begun_anew",
                    test_fault_C13_counter_has_begun_anew);
    g_test_add_func("/clock/fault_C13_offset_is_that_of_the_process_itself",
                    test_fault_C13_offset_is_that_of_the_process_itself);
    g_test_add_func("/clock/fault_C13_session_goes_on_where_its_clock_begins_anew",
                    test_fault_C13_session_goes_on_where_its_clock_begins_anew);
    g_test_add_func("/clock/fault_C13_lane_is_new_when_the_clock_has_begun_anew",
                    test_fault_C13_lane_is_new_when_the_clock_has_begun_anew);
    g_test_add_func("/clock/process_is_told_from_who_had_its_pid",
                    test_process_is_told_from_who_had_its_pid);
    return g_test_run();
}
