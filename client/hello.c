/* SPDX-License-Identifier: Apache-2.0 */
#include "client/hello.h"

#include <string.h>
#include <sys/auxv.h>

#include "client/clock.h"
#include "client/connect.h"
#include "client/intern.h"
#include "client/modules.h"
#include "client/session.h"
#include "client/sys.h"

#define HELLO_BYTES 512u /* the most that a hello is, head included, but for the program's path */

const char *tt_program_path = "";

static char program_path[4096];
/* As ARGUMENT records: what argv holds later is the program's to say. */
static uint8_t arguments[TT_MESSAGE_MAX - HELLO_BYTES];
static size_t arguments_len;

static TtString string_of(const char *text) {
    return (TtString){.text = text, .len = strnlen(text, TT_STRING_MAX)};
}

void tt_hello_init(void) {
    const char *given = (const char *)getauxval(AT_EXECFN);
    long len = TT_SYS3(SYS_readlink, "/proc/self/exe", program_path, sizeof program_path - 1);

    if (len > 0)
        program_path[len] = '\0';
    else if (given != NULL)
        strncpy(program_path, given, sizeof program_path - 1);
    tt_program_path = program_path;
}

/* The words themselves too: programs take some out, free them, and write their titles over them.
 * One that had us loaded late may have done so. */
void tt_hello_keep_arguments(int argc, char **argv) {
    size_t room = sizeof arguments - strlen(program_path);

    for (int i = 0; i < argc && argv[i] != NULL; i++) {
        TtRecordArgument argument = {.text = string_of(argv[i])};
        size_t len = tt_encode_argument(arguments + arguments_len, room - arguments_len, &argument);
        if (len == 0)
            break; /* the rest of a very long command line is left out */
        arguments_len += len;
    }
}

size_t tt_hello_write(uint8_t *message, size_t room, const TtForkNote *fork, bool is_beginning) {
    uint8_t *at = tt_connect_begin(message), *end = message + room;
    uint64_t now = tt_sys_monotonic_ns();
    TtRecordHello hello = {
        .session = {.text = (const char *)tt_session.id, .len = sizeof tt_session.id},
        .pid = (uint64_t)tt_sys_getpid(),
        .executable = string_of(tt_program_path),
        .clock = tt_clock_counts_ticks ? TT_CLOCK_TSC : TT_CLOCK_MONOTONIC,
        .clock_shift = TT_STAMP_SHIFT,
        .start_stamp = tt_clock_stamp(),
        .start_monotonic_ns = now,
        .start_realtime_ns = tt_sys_realtime_ns(),
        .page_size = getauxval(AT_PAGESZ),
        .sample_bytes = tt_session.options.sample_bytes,
        .flags = (tt_session.options.is_lossless ? TT_HELLO_LOSSLESS : 0) |
                 (tt_session.options.records_free_stacks ? TT_HELLO_FREE_STACKS : 0) |
                 (tt_session.options.records_usable_sizes ? TT_HELLO_USABLE_SIZES : 0) |
                 (tt_session.options.is_dormant ? TT_HELLO_DORMANT : 0) |
                 (tt_session.was_told ? TT_HELLO_RESUMED : 0),
        .parent_relation = tt_session.parent_relation,
        .untraced_before_ns = is_beginning ? 0 : now - tt_session.start_monotonic_ns,
        .events_before = tt_session.told_events,
    };

    if (fork != NULL) {
        hello.fork_stamp = fork->last_stamp;
        hello.fork_token = fork->token;
        hello.fork_others = fork->others;
        /* In a hook that goes on nodes may come that no lane will tell of. */
        hello.fork_stacks = fork->was_in_hook ? 0 : tt_intern_next_id();
        hello.fork_modules = fork->was_in_hook ? 0 : tt_modules_count();
        hello.fork_tid = fork->tid;
        hello.fork_scopes = fork->scopes;
    }
    if (tt_session.parent_relation != TT_RELATION_NONE)
        hello.parent_session =
            (TtString){.text = (const char *)tt_session.parent_id, .len = TT_SESSION_ID_BYTES};
    at += tt_encode_hello(at, (size_t)(end - at), &hello);
    memcpy(at, arguments, arguments_len);
    return (size_t)(at - message) + arguments_len;
}
