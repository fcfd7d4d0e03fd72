/* SPDX-License-Identifier: Apache-2.0 */
/* What a program says of itself: variables, scopes, marks, blocks of its own allocators. */
#include "client/names.h"

#include <errno.h>
#include <string.h>

#include "client/record.h"
#include "client/ttclient.h"

#define PUBLIC __attribute__((visibility("default")))
#define FRAME() ((uintptr_t)__builtin_frame_address(0) + 16)

static TtString string_of(const char *text) {
    if (text == NULL)
        return (TtString){.text = "", .len = 0};
    return (TtString){.text = text, .len = strnlen(text, TT_STRING_MAX)};
}

/* Room for a record with strings; the record is then written in place. */
static TtThread *begin_record(uintptr_t frame, size_t len, int *ret_error) {
    TtThread *thread = tt_record_begin(frame);

    *ret_error = -ENOTCONN;
    if (thread == NULL)
        return NULL;
    if (!tt_lane_reserve(thread, len)) {
        tt_record_end(thread);
        *ret_error = -ENOBUFS;
        return NULL;
    }
    return thread;
}

static void end_record(TtThread *thread, size_t len) {
    thread->at += len;
    tt_lane_publish(thread);
    tt_record_end(thread);
}

PUBLIC int tt_init(void) { return tt_session_start(); }

static int track(const TtRecordVariable *variable, uint64_t cfa) {
    TtRecordVariable record = *variable;
    int error;

    if (record.name.len == 0)
        return -EINVAL;
    if (record.addr == 0)
        return 0;
    size_t len = 128 + record.name.len + record.type.len + record.file.len + record.function.len;
    TtThread *thread = begin_record(cfa, len, &error);
    if (thread == NULL)
        return error;
    record.stack = tt_stack_capture(thread, tt_cfa_ip(cfa), cfa, tt_cfa_bp(cfa));
    if (record.stack == TT_STACK_ROOT)
        record.stack = TT_STACK_NONE;
    if (!tt_lane_reserve(thread, len)) { /* the stack's definitions took what there was */
        tt_record_end(thread);
        return -ENOBUFS;
    }
    record.stamp = tt_clock_stamp();
    end_record(thread, tt_encode_variable(thread->at, len, &record));
    return 0;
}

PUBLIC int tt_track(const void *ptr, const char *name, const char *type) {
    return track(&(TtRecordVariable){.addr = (uint64_t)ptr,
                                     .name = string_of(name),
                                     .type = string_of(type)},
                 TT_CFA());
}

PUBLIC int tt_track_at(const void *ptr, const char *name, const char *type, const char *file,
                       int line, const char *function) {
    return track(&(TtRecordVariable){.addr = (uint64_t)ptr,
                                     .name = string_of(name),
                                     .type = string_of(type),
                                     .file = string_of(file),
                                     .line = line > 0 ? (uint64_t)line : 0,
                                     .function = string_of(function)},
                 TT_CFA());
}

PUBLIC int tt_mark(const char *name) {
    TtRecordMark record = {.name = string_of(name)};
    int error;

    if (record.name.len == 0)
        return -EINVAL;
    TtThread *thread = begin_record(FRAME(), record.name.len + 64, &error);
    if (thread == NULL)
        return error;
    record.stamp = tt_clock_stamp();
    end_record(thread, tt_encode_mark(thread->at, record.name.len + 64, &record));
    return 0;
}

PUBLIC void tt_scope_enter(const char *name) {
    TtRecordScopeEnter record = {.name = string_of(name)};
    size_t len = record.name.len + 64;
    TtThread *thread = tt_record_begin(FRAME());
    bool has_room = thread != NULL && tt_lane_reserve(thread, len);

    tt_self.scope_depth++; /* not before: a handler may longjmp out of the wait */
    if (thread == NULL) {
        tt_session_put_off();
        return;
    }
    record.depth = ++thread->scope_depth;
    if (has_room) {
        record.stamp = tt_clock_stamp();
        thread->told_scopes = thread->scope_depth;
        end_record(thread, tt_encode_scope_enter(thread->at, len, &record));
    } else {
        thread->limit = thread->at; /* the chunk that the next event opens tells it */
        tt_record_end(thread);
    }
}

PUBLIC void tt_scope_leave(const int *unused) {
    TtThread *thread = tt_record_begin(FRAME());

    (void)unused;
    if (tt_self.scope_depth > 0)
        tt_self.scope_depth--;
    if (thread == NULL) {
        tt_session_put_off();
        return;
    }
    if (thread->scope_depth > 0)
        thread->scope_depth--;
    tt_lane_catch_up(thread);
    tt_record_end(thread);
}

PUBLIC void tt_pause(void) {
    if (tt_self.pause_depth++ == 0)
        tt_session_put_off();
}

PUBLIC void tt_resume(void) {
    if (tt_self.pause_depth > 0 && --tt_self.pause_depth == 0)
        tt_session_put_off();
}

PUBLIC void tt_report_alloc(const void *ptr, size_t size) {
    TtThread *thread = tt_session_thread();

    if (thread != NULL && ptr != NULL)
        tt_record_foreign_birth(thread, TT_KIND_ALLOC, ptr, size, TT_CFA());
}

PUBLIC void tt_report_realloc(const void *old, const void *ptr, size_t size) {
    TtThread *thread = tt_session_thread();

    if (thread == NULL)
        return;
    if (old != NULL)
        tt_record_death(thread, ptr != NULL ? TT_KIND_REALLOC_BEGIN : TT_KIND_FREE, old, TT_CFA());
    if (ptr != NULL)
        tt_record_foreign_birth(thread, old != NULL ? TT_KIND_REALLOC_END : TT_KIND_ALLOC, ptr,
                                size, TT_CFA());
}

PUBLIC void tt_report_free(const void *ptr) {
    TtThread *thread = tt_session_thread();

    if (thread != NULL && ptr != NULL)
        tt_record_death(thread, TT_KIND_FREE, ptr, TT_CFA());
}

void tt_names_fork(uint64_t token) {
    int error;
    TtThread *thread = begin_record(FRAME(), 64, &error);

    if (thread == NULL)
        return;
    TtRecordFork record = {.stamp = tt_clock_stamp(), .token = token};
    end_record(thread, tt_encode_fork(thread->at, 64, &record));
}

void tt_names_end(void) {
    int error;
    TtThread *thread = begin_record(FRAME(), 64, &error);

    if (thread == NULL)
        return;
    TtRecordEnd record = {.stamp = tt_clock_stamp()};
    end_record(thread, tt_encode_end(thread->at, 64, &record));
}
