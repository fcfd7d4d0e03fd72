/* SPDX-License-Identifier: Apache-2.0 */
/* Built several times: with another FRAME the functions have other frames and lie elsewhere; with
 * another NAME alone, all is as it was but for the file's identity. */
int plugin_call(void (*function)(void), int depth);

extern const char plugin_name[];
const char plugin_name[] = NAME;

static volatile int sink;

#if FRAME > 100
int plugin_other(int n);
int plugin_other(int n) { return n * sink + 7; }
#endif

__attribute__((noinline)) int plugin_call(void (*function)(void), int depth) {
    volatile char room[FRAME];

    room[depth] = 1;
    if (depth > 0)
        plugin_call(function, depth - 1);
    else
        function();
    sink += room[depth];
    return sink;
}
