/* SPDX-License-Identifier: Apache-2.0 */
/* Code without unwind information, with strange or damaged ones, made at run time; processes that
 * fork or may make no system call any more (FAULTS: E11, E12, A16, C01). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/rules.h"
#include "stack-support.h"

#define NOINLINE __attribute__((noinline))

static volatile int sink;
static uint32_t last;
static Chain chain;

NOINLINE void leaf(void);
NOINLINE void leaf(void) {
    last = support_hook();
    sink++;
}

static NOINLINE void judged_leaf(void) {
    last = support_check(false);
    sink++;
}

static void assert_chain(size_t count, const char *const *names, uint32_t root) {
    support_chain(last, &chain);
    g_assert_cmpuint(chain.root, ==, root);
    g_assert_cmpuint(chain.count, ==, count);
    for (size_t i = 0; i < count; i++)
        g_assert_cmpstr(support_name(chain.ips[i]), ==, names[i]);
}

void without_cfi(void (*function)(void));
void cycle(void *frame, void (*function)(void));
void by_expression(void (*function)(void));
void by_deref(void (*function)(void));
__asm__(".text\n"
        ".globl without_cfi\n.type without_cfi, @function\n"
        "without_cfi: sub $8, %rsp\n call *%rdi\n add $8, %rsp\n ret\n"
        ".size without_cfi, . - without_cfi\n"
        ".globl cycle\n.type cycle, @function\n"
        "cycle: .cfi_startproc\n"
        "  push %rbp\n .cfi_adjust_cfa_offset 8\n .cfi_rel_offset %rbp, 0\n"
        "  mov %rdi, %rbp\n .cfi_def_cfa %rbp, 16\n .cfi_offset %rbp, -16\n .cfi_offset %rip, -8\n"
        "  call *%rsi\n"
        "  pop %rbp\n .cfi_def_cfa %rsp, 8\n .cfi_restore %rbp\n"
        "  ret\n .cfi_endproc\n.size cycle, . - cycle\n"
        ".globl by_expression\n.type by_expression, @function\n"
        "by_expression: .cfi_startproc\n"
        "  sub $24, %rsp\n"
        /* DW_CFA_def_cfa_expression, 3 bytes: DW_OP_breg7 rsp, 32 */
        "  .cfi_escape 0x0f, 2, 0x77, 32\n"
        "  call *%rdi\n"
        "  add $24, %rsp\n  .cfi_def_cfa %rsp, 8\n"
        "  ret\n  .cfi_endproc\n.size by_expression, . - by_expression\n"
        ".globl by_deref\n.type by_deref, @function\n"
        "by_deref: .cfi_startproc\n"
        "  lea 8(%rsp), %rax\n  sub $24, %rsp\n  mov %rax, 8(%rsp)\n"
        /* DW_OP_breg7 rsp, 8; DW_OP_deref */
        "  .cfi_escape 0x0f, 3, 0x77, 8, 0x06\n"
        "  call *%rdi\n"
        "  add $24, %rsp\n  .cfi_def_cfa %rsp, 8\n"
        "  ret\n  .cfi_endproc\n.size by_deref, . - by_deref\n");

static void fault_E12_assembler_without_cfi(void) {
    for (int i = 0; i < 3; i++) {
        without_cfi(leaf);
        assert_chain(2, (const char *const[]){"leaf", "without_cfi"}, TT_STACK_TRUNCATED);
    }
    judged_leaf();
}

static void fault_E12_expressions(void) {
    for (int i = 0; i < 3; i++) {
        by_expression(judged_leaf);
        by_deref(judged_leaf);
    }
}

static NOINLINE uint64_t here(void) {
    sink++;
    return (uint64_t)__builtin_return_address(0);
}

static void fault_E12_rbp_cycle(void) {
    volatile char *memory = __builtin_alloca((size_t)sink % 8 + 8); /* found by rbp, too */
    uint64_t frames[3][2];

    memory[0] = 1;

    for (int i = 0; i < 3; i++) {
        frames[i][0] = (uint64_t)frames[(i + 1) % 3];
        frames[i][1] = here();
    }
    for (int i = 0; i < 3; i++) {
        cycle(frames[i], leaf);
        support_chain(last, &chain);
        g_assert_cmpuint(chain.root, ==, TT_STACK_TRUNCATED);
        g_assert_cmpuint(chain.count, <, 8);
    }
}

/* sub $8, %rsp; call *%rdi; add $8, %rsp; ret */
static const uint8_t made_code[] = {0x48, 0x83, 0xec, 8, 0xff, 0xd7, 0x48, 0x83, 0xc4, 8, 0xc3};

static uint8_t *make_code(size_t len) {
    uint8_t *code =
        mmap(NULL, len, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(code != MAP_FAILED);
    for (size_t at = 0; at + 16 <= len; at += 16)
        memcpy(code + at, made_code, sizeof made_code);
    return code;
}

static void call_made(uint8_t *code, void (*function)(void)) {
    ((void (*)(void (*)(void)))(void *)code)(function);
}

static void assert_made_chain(const uint8_t *code) {
    support_chain(last, &chain);
    g_assert_cmpuint(chain.count, ==, 2);
    g_assert_cmpuint(chain.ips[1], ==, (uint64_t)code + 6);
    g_assert_cmpuint(chain.modules[1], ==, 0);
    g_assert_cmpuint(chain.root, ==, TT_STACK_TRUNCATED);
}

/* Looked at in its lines, not asked. */
static size_t count_rules(void) {
    size_t count = 0;

    for (unsigned number = 0; number < TT_LEVELS_MAX; number++) {
        const TtLine *level = tt_levels_peek(&tt_rules, number);
        size_t lines = level != NULL ? (size_t)1 << (TT_RULES_BITS + 2 * number) : 0;

        for (size_t i = 0; i < lines; i++)
            for (unsigned k = 0; k < TT_LINE_ENTRIES; k++)
                count += level[i].entries[k].b != 0;
    }
    return count;
}

/* A million return addresses, or as many as TT_ADDRESSES says: none takes a rule's place. */
static void fault_E11_code_made_at_run_time(void) {
    const char *wanted = g_getenv("TT_ADDRESSES");
    size_t count = wanted != NULL ? (size_t)g_ascii_strtoull(wanted, NULL, 10) : 100000;
    uint8_t *code = make_code(count * 16);

    call_made(code, leaf);
    size_t rules = count_rules();
    for (size_t i = 0; i < count; i++) {
        call_made(code + i * 16, leaf);
        if (i % 512 == 0)
            assert_made_chain(code + i * 16);
    }
    g_assert_cmpuint(count_rules(), ==, rules);
    g_assert_cmpuint(rules, <, 1000);
    judged_leaf();
    munmap(code, count * 16);
}

/* What libgcc is told of it: absolute addresses, CFA = rsp + 8, and 16 from the fifth byte on. */
typedef struct __attribute__((packed)) Described {
    uint32_t cie_len, cie_id;
    uint8_t cie[16]; /* version, no augmentation, factors 1 and -8, column 16; its first state */
    uint32_t fde_len, to_cie;
    uint64_t start, len;
    uint8_t fde[8];
    uint32_t end;
} Described;

extern void __register_frame(void *frames);
extern void __deregister_frame(void *frames);

static size_t told_frames;

NOINLINE void told_leaf(void);
NOINLINE void told_leaf(void) {
    void *ips[64];

    told_frames = (size_t)backtrace(ips, 64);
    leaf();
}

/* libgcc then walks on through it. Its list is the program's, behind a lock that a hook must not
 * take: for us it is code that nobody knows. */
static void fault_E11_code_that_libgcc_was_told_of(void) {
    uint8_t *code = make_code(4096);
    static Described described = {
        .cie_len = 20,
        .cie = {1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1},
        .fde_len = 28,
        .to_cie = 28,
        .len = sizeof made_code,
        .fde = {0x44, 0x0e, 16},
    };

    described.start = (uint64_t)code;
    call_made(code, told_leaf);
    size_t before = told_frames;
    __register_frame(&described);
    for (int round = 0; round < 3; round++) {
        call_made(code, told_leaf);
        g_assert_cmpuint(told_frames, >, before + 2);
        support_chain(last, &chain);
        g_assert_cmpuint(chain.count, ==, 3);
        g_assert_cmpstr(support_name(chain.ips[1]), ==, "told_leaf");
        g_assert_cmpuint(chain.ips[2], ==, (uint64_t)code + 6);
        g_assert_cmpuint(chain.root, ==, TT_STACK_TRUNCATED);
    }
    __deregister_frame(&described);
    munmap(code, 4096);
    judged_leaf();
}

static bool find_section(const uint8_t *file, const char *name, size_t *ret_offset,
                         size_t *ret_size) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)(const void *)file;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(const void *)(file + header->e_shoff);
    const char *names = (const char *)file + sections[header->e_shstrndx].sh_offset;

    for (unsigned i = 0; i < header->e_shnum; i++)
        if (strcmp(names + sections[i].sh_name, name) == 0) {
            *ret_offset = sections[i].sh_offset;
            *ret_size = sections[i].sh_size;
            return true;
        }
    return false;
}

static void load_and_call(const char *path) {
    void *plugin = dlopen(path, RTLD_NOW);

    if (plugin == NULL)
        return;
    tt_stack_advance_epoch();
    for (int depth = 0; depth < 3; depth++) {
        ((int (*)(void (*)(void), int))dlsym(plugin, "plugin_call"))(leaf, depth);
        support_chain(last, &chain);
        g_assert_cmpuint(chain.count, >=, 1);
        g_assert_cmpstr(support_name(chain.ips[0]), ==, "leaf");
    }
    dlclose(plugin);
    tt_stack_advance_epoch();
}

static void fault_E12_damaged_unwind_information(void) {
    g_autofree char *folder = g_dir_make_tmp("tt-stack-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "damaged.so", NULL);
    g_autofree char *whole = NULL;
    gsize len;
    size_t frame, frame_size, head, head_size;

    g_assert_true(g_file_get_contents(g_getenv("TT_TEST_SWAP_A"), &whole, &len, NULL));
    g_assert_true(find_section((uint8_t *)whole, ".eh_frame", &frame, &frame_size));
    g_assert_true(find_section((uint8_t *)whole, ".eh_frame_hdr", &head, &head_size));
    for (int round = 0; round < 300; round++) {
        g_autofree char *damaged = g_memdup2(whole, len);
        bool is_head = round % 3 == 0;

        for (int i = 0; i < 1 + round % 4; i++) {
            size_t at = g_test_rand_int() % (is_head ? head_size : frame_size);
            damaged[(is_head ? head : frame) + at] = (char)g_test_rand_int();
        }
        if (round % 50 == 0)
            memset(damaged + head + 8, 0x7f, 4); /* how many there are */
        if (round % 50 == 1)
            memset(damaged + head, 0, head_size);
        unlink(path);
        g_assert_true(g_file_set_contents(path, damaged, (gssize)len, NULL));
        load_and_call(path);
    }
    unlink(path);
    rmdir(folder);
    judged_leaf();
}

/* Strict seccomp: a system call other than read, write, exit is the end. */
static void fault_A16_no_system_call_when_sealed(void) {
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        uint32_t ids[3] = {0};

        for (int round = 0; round < 3; round++) {
            leaf();
            ids[round] = last;
            if (round == 0) {
                tt_stack_seal(true);
                if (syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
                    syscall(SYS_exit, 77);
            }
        }
        without_cfi(leaf); /* was seen before the fork */
        tt_stack_advance_epoch();
        by_expression(leaf);
        syscall(SYS_exit, ids[1] == ids[2] && last != TT_STACK_ROOT ? 0 : 1);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        g_test_skip("no strict seccomp here");
        return;
    }
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static _Atomic bool is_over;

static NOINLINE void wander(int depth) {
    if (depth > 0)
        wander(depth - 1);
    else
        leaf();
    sink++;
}

static void *learn_all_the_time(void *data) {
    for (int i = 0; !is_over; i++) {
        /* Rules and modules are looked at anew: the locks are mostly held by somebody. */
        tt_stack_advance_epoch();
        wander(i % 5);
    }
    return data;
}

static void fault_C01_fork_while_others_learn(void) {
    GThread *threads[2];

    for (int i = 0; i < 2; i++)
        threads[i] = g_thread_new("learn", learn_all_the_time, NULL);
    for (int round = 0; round < 30; round++) {
        pid_t child = fork();
        g_assert_cmpint(child, >=, 0);
        if (child == 0) {
            uint32_t first;

            alarm(10); /* if it waits for a lock that nobody holds any more */
            tt_stack_after_fork();
            tt_stack_restart_session(false);
            memset(&support_thread()->stack, 0, sizeof support_thread()->stack);
            wander(round % 7);
            first = last;
            wander(round % 7 + 1);
            _exit(first >= TT_STACK_FIRST && last >= TT_STACK_FIRST ? 0 : 1);
        }
        int status;
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    }
    is_over = true;
    for (int i = 0; i < 2; i++)
        g_thread_join(threads[i]);
    judged_leaf();
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    support_init();
    g_test_add_func("/stack/fault_E11_code_made_at_run_time", fault_E11_code_made_at_run_time);
    g_test_add_func("/stack/fault_E11_code_that_libgcc_was_told_of",
                    fault_E11_code_that_libgcc_was_told_of);
    g_test_add_func("/stack/fault_E12_assembler_without_cfi", fault_E12_assembler_without_cfi);
    g_test_add_func("/stack/fault_E12_expressions", fault_E12_expressions);
    g_test_add_func("/stack/fault_E12_rbp_cycle", fault_E12_rbp_cycle);
    g_test_add_func("/stack/fault_E12_damaged_unwind_information",
                    fault_E12_damaged_unwind_information);
    g_test_add_func("/stack/fault_A16_no_system_call_when_sealed",
                    fault_A16_no_system_call_when_sealed);
    g_test_add_func("/stack/fault_C01_fork_while_others_learn", fault_C01_fork_while_others_learn);
    return g_test_run();
}
