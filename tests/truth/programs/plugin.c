/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded by dlopen, its calls bound lazily: malloc is first called through the loader's trampoline.
 */
#include <stdlib.h>

extern void *volatile kept_by_plugin;
void *volatile kept_by_plugin;

void plugin_leak(void);
void plugin_entry(void);

__attribute__((noinline)) void plugin_leak(void) {
    kept_by_plugin = malloc(70021);
    __asm__ volatile("" ::: "memory");
}

void plugin_entry(void) {
    plugin_leak();
    __asm__ volatile("" ::: "memory");
}
