/* SPDX-License-Identifier: Apache-2.0 */
/* A library whose function is chosen by a resolver that calls back, from within lazy binding. */
void (*plugin_hook)(void);
int plugin_one(int n);
int plugin_two(int n);
int plugin_call(int n);

static int add_one(int n) { return n + 1; }

/* clang does not see that ifunc uses it. */
__attribute__((used)) static int (*resolve(void))(int) {
    if (plugin_hook != 0)
        plugin_hook();
    return add_one;
}

int plugin_one(int n) __attribute__((ifunc("resolve")));
int plugin_two(int n) __attribute__((ifunc("resolve")));

int plugin_call(int n) {
    int a = n % 2 == 0 ? plugin_one(n) : plugin_two(n);
    return a;
}
