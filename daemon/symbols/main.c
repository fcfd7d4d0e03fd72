/* SPDX-License-Identifier: Apache-2.0 */
/* tt-symbolizer [DEBUG-DIR]: answers the daemon's questions until their socket closes.
 *
 * It reads hostile files, and assumes that one of them will take it over or make it run for ever
 * one day: it has the socket and nothing else, limits on what it may take, and a clock that ends it
 * when the daemon is no longer there to. Started by hand it ends at once. */
#include <errno.h>
#include <glib.h>
#include <libelf.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "symbols/elf.h"
#include "symbols/exchange.h"
#include "symbols/modules.h"

#define ADDRESS_SPACE_MAX (4ull << 30)
#define FILES_MAX 1024
#define GRACE_MS 1000 /* past its time-out the daemon kills us, if there is a daemon */

static void set_limit(int resource, rlim_t value) {
    struct rlimit limit;

    if (getrlimit(resource, &limit) < 0)
        return;
    limit.rlim_max = MIN(limit.rlim_max, value);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(resource, &limit);
}

static void set_limits(void) {
    /* A sanitizer reserves terabytes, and writes its report. */
#ifndef TT_SYMBOLIZER_UNLIMITED
    set_limit(RLIMIT_AS, ADDRESS_SPACE_MAX);
    set_limit(RLIMIT_FSIZE, 0);
#endif
    set_limit(RLIMIT_NOFILE, FILES_MAX);
    set_limit(RLIMIT_CORE, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Returns: whether all came; FALSE at the end. */
static gboolean receive_all(guint8 *bytes, gsize len) {
    while (len > 0) {
        gssize n = recv(TT_EXCHANGE_FD, bytes, len, 0);

        if (n == 0 || (n < 0 && errno != EINTR))
            return FALSE;
        if (n > 0) {
            bytes += n;
            len -= (gsize)n;
        }
    }
    return TRUE;
}

static gboolean send_all(const guint8 *bytes, gsize len) {
    while (len > 0) {
        gssize n = send(TT_EXCHANGE_FD, bytes, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return FALSE;
        if (n > 0) {
            bytes += n;
            len -= (gsize)n;
        }
    }
    return TRUE;
}

/* SIGALRM is left as it is: it ends the process. @milliseconds 0 takes it back. */
static void set_alarm(guint64 milliseconds) {
    struct itimerval timer = {
        .it_value = {.tv_sec = (time_t)(milliseconds / 1000),
                     .tv_usec = (suseconds_t)(milliseconds % 1000 * 1000)},
    };

    setitimer(ITIMER_REAL, &timer, NULL);
}

/* Returns: whether there may be another question. */
static gboolean serve(TtModules *modules, GByteArray *bytes, TtQuestion *question) {
    g_autoptr(TtAnswerWriter) writer = NULL;
    TtSymbolsLack lack;
    guint32 len;
    gboolean is_sent;

    if (!receive_all((guint8 *)&len, sizeof len))
        return FALSE;
    len = GUINT32_FROM_LE(len);
    if (len > TT_EXCHANGE_QUESTION_MAX)
        return FALSE;
    g_byte_array_set_size(bytes, len);
    if (!receive_all(bytes->data, len) || tt_question_read(bytes->data, len, question) < 0)
        return FALSE;

    set_alarm(MIN(question->timeout_ms, G_MAXINT) + GRACE_MS);
    writer = tt_answer_writer_new(question->id);
    lack = tt_modules_answer(modules, question, writer);
    g_byte_array_set_size(bytes, 0);
    tt_answer_writer_finish(writer, lack, bytes);
    is_sent = send_all(bytes->data, bytes->len);
    set_alarm(0);
    return is_sent;
}

int main(int argc, char **argv) {
    g_autofree TtQuestion *question = g_new0(TtQuestion, 1);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    TtModules *modules;

    set_limits();
    elf_version(EV_CURRENT);
    modules = tt_modules_new(argc > 1 ? argv[1] : TT_DEBUG_DIR);
    while (serve(modules, bytes, question))
        continue;
    tt_modules_free(modules);
    return 0;
}
