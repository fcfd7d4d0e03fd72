/* SPDX-License-Identifier: Apache-2.0 */
/* Modules that come and go (FAULTS: B13, A15, I11): at one address now one library, now another. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#include "stack-support.h"

#define NOINLINE __attribute__((noinline))

typedef int PluginCall(void (*function)(void), int depth);

static const char *path_a, *path_b, *path_c; /* c: as a, byte by byte, but for its name */
static volatile int sink;
static uint32_t last;

static NOINLINE void leaf(void) {
    last = support_check(false);
    sink++;
}

static NOINLINE void leaf_without_judge(void) {
    last = support_hook();
    sink++;
}

/* Which module do the stack's frames say that plugin_call is in? */
static const char *plugin_of(uint32_t id, uint64_t *ret_id) {
    static Chain chain;

    support_chain(id, &chain);
    g_assert_cmpuint(chain.count, >, 3);
    *ret_id = chain.modules[1];
    g_assert_cmpuint(chain.modules[2], ==, chain.modules[1]);
    return support_module_path(chain.modules[1]);
}

/* What the hook of free() does when the loader frees. */
static void *load(const char *path, int flags) {
    void *plugin = dlopen(path, flags);

    g_assert_nonnull(plugin);
    tt_stack_advance_epoch();
    return plugin;
}

static void unload(void *plugin) {
    tt_stack_advance_epoch();
    dlclose(plugin);
    tt_stack_advance_epoch();
}

static _Atomic bool is_over;

static NOINLINE void busy(int depth) {
    if (depth > 0)
        busy(depth - 1);
    else
        support_check(false);
    sink++;
}

static void *capture_meanwhile(void *data) {
    for (int i = 0; !is_over; i++)
        busy(i % 11);
    return data;
}

static void fault_B13_two_libraries_in_turn(void) {
    GThread *thread = g_thread_new("meanwhile", capture_meanwhile, NULL);
    uint64_t ids[2] = {0}, bases[2] = {0}, id;
    unsigned shared_base_count = 0;

    for (int round = 0; round < 200; round++) {
        const char *path = round % 2 ? path_b : path_a;
        void *plugin = load(path, RTLD_NOW);
        PluginCall *call = (PluginCall *)dlsym(plugin, "plugin_call");

        for (int depth = 1; depth < 6; depth++) {
            call(leaf, depth);
            g_assert_cmpstr(plugin_of(last, &id), ==, path);
            call(leaf, depth);
            g_assert_cmpstr(plugin_of(last, &id), ==, path);
        }
        if (ids[round % 2] != 0 && bases[round % 2] == ((struct link_map *)plugin)->l_addr)
            g_assert_cmpuint(ids[round % 2], ==, id); /* the same again, and known */
        ids[round % 2] = id;
        bases[round % 2] = ((struct link_map *)plugin)->l_addr;
        shared_base_count += bases[0] == bases[1];
        unload(plugin);
        leaf();
    }
    is_over = true;
    g_thread_join(thread);
    g_test_message("%u times at the same base, %u modules gone", shared_base_count,
                   support_counts().gone);
    g_assert_cmpuint(shared_base_count, >, 10);
    g_assert_cmpuint(support_counts().gone, >, 0);
}

/* Stack, addresses and rules are the same: only the module tells them apart, and nothing is
 * captured while it changes. */
static void fault_I11_twins_in_turn(void) {
    unsigned shared_base_count = 0;
    uint64_t bases[2] = {0}, id;

    for (volatile int round = 0; round < 20; round++) {
        void *plugin = load(round % 2 ? path_c : path_a, RTLD_NOW);
        ((PluginCall *)dlsym(plugin, "plugin_call"))(leaf, 2);
        uint32_t id_of_stack = last;
        bases[round % 2] = ((struct link_map *)plugin)->l_addr;
        shared_base_count += bases[0] == bases[1];
        unload(plugin);
        g_assert_cmpstr(plugin_of(id_of_stack, &id), ==, round % 2 ? path_c : path_a);
    }
    g_assert_cmpuint(shared_base_count, >, 5);
}

/* And where the stack that they are called from is known anew before they are. */
static void fault_I11_twins_on_a_known_stack(void) {
    uint64_t id;

    for (volatile int round = 0; round < 20; round++) {
        void *plugin = load(round % 2 ? path_c : path_a, RTLD_NOW);
        PluginCall *call = (PluginCall *)dlsym(plugin, "plugin_call");

        leaf();
        call(leaf, 2);
        g_assert_cmpstr(plugin_of(last, &id), ==, round % 2 ? path_c : path_a);
        leaf();
        unload(plugin);
    }
}

/* The path is the same, the file is not. */
static void fault_B13_file_replaced(void) {
    g_autofree char *folder = g_dir_make_tmp("tt-stack-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "plugin.so", NULL);
    const char *files[] = {path_a, path_b};
    uint64_t ids[2] = {0}, id;

    for (int round = 0; round < 10; round++) {
        g_autofree char *bytes = NULL;
        gsize len;

        unlink(path);
        g_assert_true(g_file_get_contents(files[round % 2], &bytes, &len, NULL));
        g_assert_true(g_file_set_contents(path, bytes, (gssize)len, NULL));
        void *plugin = load(path, RTLD_NOW);
        PluginCall *call = (PluginCall *)dlsym(plugin, "plugin_call");
        for (int depth = 1; depth < 6; depth++) {
            call(leaf, depth);
            g_assert_cmpstr(plugin_of(last, &id), ==, path);
            ids[round % 2] = id;
        }
        if (round > 0)
            g_assert_cmpuint(ids[0], !=, ids[1]);
        unload(plugin);
    }
    unlink(path);
    rmdir(folder);
}

static void fault_A15_another_namespace(void) {
    void *plugin = dlmopen(LM_ID_NEWLM, path_a, RTLD_NOW);
    uint64_t id;

    g_assert_nonnull(plugin);
    tt_stack_advance_epoch();
    ((PluginCall *)dlsym(plugin, "plugin_call"))(leaf_without_judge, 3);
    g_assert_cmpstr(plugin_of(last, &id), ==, path_a);

    Chain chain;
    support_chain(last, &chain);
    g_assert_cmpuint(chain.root, ==, TT_STACK_ROOT);
    unload(plugin);
}

static void a_module_is_told_once_in_a_session(void) {
    leaf();
    uint32_t count = support_counts().modules;
    for (int i = 0; i < 10; i++) {
        tt_stack_advance_epoch();
        leaf();
    }
    g_assert_cmpuint(support_counts().modules, ==, count);
}

static void the_main_program_has_its_path(void) {
    Chain chain;

    leaf();
    support_chain(last, &chain);
    g_assert_cmpstr(support_module_path(chain.modules[0]), ==, "/the/program");
    g_assert_cmpstr(support_name(chain.ips[chain.count - 1]), ==, "_start");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    support_init();
    path_a = g_getenv("TT_TEST_SWAP_A");
    path_b = g_getenv("TT_TEST_SWAP_B");
    path_c = g_getenv("TT_TEST_SWAP_C");
    if (path_a == NULL || path_b == NULL || path_c == NULL) {
        g_printerr("TT_TEST_SWAP_A, _B and _C name the plugins\n");
        return 2;
    }
    g_test_add_func("/stack/the_main_program_has_its_path", the_main_program_has_its_path);
    g_test_add_func("/stack/a_module_is_told_once_in_a_session",
                    a_module_is_told_once_in_a_session);
    g_test_add_func("/stack/fault_B13_two_libraries_in_turn", fault_B13_two_libraries_in_turn);
    g_test_add_func("/stack/fault_I11_twins_in_turn", fault_I11_twins_in_turn);
    g_test_add_func("/stack/fault_I11_twins_on_a_known_stack", fault_I11_twins_on_a_known_stack);
    g_test_add_func("/stack/fault_B13_file_replaced", fault_B13_file_replaced);
    g_test_add_func("/stack/fault_A15_another_namespace", fault_A15_another_namespace);
    return g_test_run();
}
