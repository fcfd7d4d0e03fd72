/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A line on stdout for each variable named: where that was, as what, and its type in the source, ""
 * where none is to be found. */
#include <stddef.h>
#include <stdio.h>

extern const char __ehdr_start[];
static volatile int sink;

__attribute__((noinline)) static void log_it(const volatile void *value, const char *name,
                                             const char *type) {
    const char *ip = (const char *)__builtin_return_address(0) - 1;

    printf("%lx|%s|%s\n", (unsigned long)(ip - __ehdr_start), name, type);
    sink += value != NULL;
}

/* What follows keeps the call from being the function's last jump. */
#define IS(variable, type) (log_it((const volatile void *)(variable), #variable, type), sink++)
#define INLINE static inline __attribute__((always_inline))
