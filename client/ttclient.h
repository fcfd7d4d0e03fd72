/* SPDX-License-Identifier: Apache-2.0 */
/* trace-tools: what a program may tell its profiler, and ask of it.
 *
 * Nothing here has to be called: linked (-lttclient) or preloaded, the library records every
 * allocation by itself. All calls are harmless without a daemon, may be made from any thread, and
 * keep errno. Functions that return int give 0, or a negative errno value: -ENOTCONN where no
 * daemon traces this process.
 *
 * C99 and C++11 and later. With -DTT_DISABLE the macros compile to nothing; their arguments are
 * then not evaluated. */
#ifndef TTCLIENT_H
#define TTCLIENT_H

#include <stddef.h>

/* What a pointer leads to is neither read nor written: it need not be initialized. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define TT_UNREAD_(n) __attribute__((access(none, n)))
#else
#define TT_UNREAD_(n)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Connects now rather than at the first allocation; or again, where the daemon has gone since. May
 * be called as often as one likes.
 *
 * Returns 0 when this process is traced, as of this call: that a daemon died later is noticed by
 * the next one, or else some thousands of events later. -ENOENT or -ECONNREFUSED: no daemon;
 * -EINPROGRESS: there is one again, which has yet to answer: ask again; -ETIMEDOUT: it did not
 * answer in time; -EPERM: this process is not to be traced (set-user-id, another allocator in
 * front, TT_* that make no sense). What is allocated and freed while it is not nobody counts. */
int tt_init(void);

/* Names the block that @ptr points to or into. The name stays with the block through realloc,
 * until it is freed or named again.
 *
 * @ptr   is not read through; what is no live block of the heap is passed over
 * @name  copied; up to 4096 bytes
 * @type  copied; NULL or "" where unknown
 *
 * Returns 0, -ENOTCONN, -EINVAL without a name, -ENOBUFS: the lane is full. */
int tt_track(const void *ptr, const char *name, const char *type) TT_UNREAD_(1);

/* Writes this process's state, all events up to this call in it. The file appears whole or not at
 * all. A link is followed and kept; what is there must be writable, and keeps its owner, its mode
 * and its other names. Written to directly is what is no regular file, such as a pipe, and what is
 * open already, such as /dev/stdout, which goes on where it is: what stdio holds back is to be
 * flushed before.
 *
 * @path  borrowed; relative to the working directory
 *
 * Waits for the daemon, at most 30 s. Returns 0, -ENOTCONN, -ETIMEDOUT, or why the file cannot be
 * written: -ENOENT, -EACCES, -ENOSPC, … */
int tt_export_json(const char *path);
int tt_export_svg(const char *path);

/* From here to tt_resume this thread's new blocks are not recorded. Nests. What happens to blocks
 * that are recorded still is, so that none seems to live for ever; of those left out nothing is,
 * whoever frees or resizes them, and whenever. From the first such block on a free at which no
 * block is known is therefore taken for one of theirs: it counts for nothing, and no double free is
 * told. A tt_resume too many does nothing. */
void tt_pause(void);
void tt_resume(void);

/* Names this instant, whose state the daemon keeps, within bounds: tt-ctl export --at=NAME, tt-ctl
 * diff NAME now. @name is copied. Returns 0, -ENOTCONN, -EINVAL, -ENOBUFS. */
int tt_mark(const char *name);

/* For programs with allocators of their own: a block was born, resized, or is about to be freed
 * (call it before the address can be given out again). A block resized to NULL is freed. Addresses
 * need no alignment. */
void tt_report_alloc(const void *ptr, size_t size) TT_UNREAD_(1);
void tt_report_realloc(const void *old, const void *ptr, size_t size) TT_UNREAD_(1) TT_UNREAD_(2);
void tt_report_free(const void *ptr) TT_UNREAD_(1);

/* What the macros expand to; call the macros. */
int tt_track_at(const void *ptr, const char *name, const char *type, const char *file, int line,
                const char *function) TT_UNREAD_(1);
void tt_scope_enter(const char *name);
void tt_scope_leave(const int *unused);

#ifdef __cplusplus
}
#endif

#ifdef TT_DISABLE

#define TT_TRACK_VAR(var) ((void)0)
#define TT_SCOPE(name) struct tt_unused_scope_

#else

#define TT_CONCAT_(a, b) a##b
#define TT_CONCAT(a, b) TT_CONCAT_(a, b)

/* TT_SCOPE(name); until the end of the enclosing block, what this thread allocates belongs to the
 * scope @name. Nests. A scope that is left by longjmp ends when an outer one does. A forked
 * child goes on in those that it was forked in. One whose beginning could not be told, be it that
 * the lane was full, the session asleep or no daemon there, counts, and its name is (lost). */
#define TT_SCOPE(name)                                                                             \
    __attribute__((cleanup(tt_scope_leave), unused)) const int TT_CONCAT(tt_scope_, __LINE__) =    \
        (tt_scope_enter(name), 0)

/* TT_TRACK_VAR(var); names the block that @var points to or into after the variable: its name, its
 * type, and where this stands. Evaluates @var once. @var is a pointer or an array; in C++ also what
 * has get() or data() (smart pointers, containers). In C the types of the language are told;
 * others are found in the program's debug information. */
#ifdef __cplusplus

extern "C++" {
namespace tt_detail {

template <typename T> inline const void *address_of(T *ptr, int) { return (const void *)ptr; }
template <typename T>
inline auto address_of(const T &owner, int) -> decltype((const void *)owner.get()) {
    return (const void *)owner.get();
}
template <typename T>
inline auto address_of(const T &owner, long) -> decltype((const void *)owner.data()) {
    return (const void *)owner.data();
}

/* The compiler spells T in the name of this function: "… [with T = Node*; …]" or "[T = Node *]". */
template <typename T> struct TypeName {
    static const char *get() {
        static char name[256];
        const char *at = __PRETTY_FUNCTION__;
        size_t len = 0, depth = 0;
        while (*at != '\0' && !(at[0] == 'T' && at[1] == ' ' && at[2] == '='))
            at++;
        for (at += *at != '\0' ? 4 : 0; *at != '\0' && len + 1 < sizeof name; at++) {
            if (depth == 0 && (*at == ']' || *at == ';'))
                break;
            depth += (*at == '<' || *at == '[' || *at == '(');
            depth -= (*at == '>' || *at == ']' || *at == ')') && depth > 0;
            name[len++] = *at;
        }
        name[len] = '\0';
        return name;
    }
};

template <typename T>
inline int track(const T &var, const char *name, const char *file, int line, const char *function) {
    return tt_track_at(address_of(var, 0), name, TypeName<T>::get(), file, line, function);
}
template <typename T, size_t N>
inline int track(T (&var)[N], const char *name, const char *file, int line, const char *function) {
    return tt_track_at((const void *)var, name, TypeName<T *>::get(), file, line, function);
}

} // namespace tt_detail
}

#define TT_TRACK_VAR(var) ((void)::tt_detail::track((var), #var, __FILE__, __LINE__, __func__))

#else

#define TT_TYPE_(type) type * : #type " *", const type * : "const " #type " *"

/* clang-format off */
#define TT_TYPE_NAME(var)                                                                          \
    __extension__ _Generic((var),                                                                  \
        TT_TYPE_(_Bool), TT_TYPE_(char), TT_TYPE_(signed char), TT_TYPE_(unsigned char),           \
        TT_TYPE_(short), TT_TYPE_(unsigned short), TT_TYPE_(int), TT_TYPE_(unsigned int),          \
        TT_TYPE_(long), TT_TYPE_(unsigned long), TT_TYPE_(long long),                              \
        TT_TYPE_(unsigned long long), TT_TYPE_(float), TT_TYPE_(double), TT_TYPE_(long double),    \
        char **: "char **", const char **: "const char **", void **: "void **",                    \
        int **: "int **", double **: "double **",                                                  \
        void *: "void *", const void *: "const void *", default: "")
/* clang-format on */

#define TT_TRACK_VAR(var)                                                                          \
    ((void)tt_track_at((const void *)(var), #var, TT_TYPE_NAME(var), __FILE__, __LINE__, __func__))

#endif
#endif
#endif
