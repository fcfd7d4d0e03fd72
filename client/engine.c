/* SPDX-License-Identifier: Apache-2.0 */
/* libunwind tells no rules; it takes steps. So it is made to step from registers that are marks
 * instead of values, through memory that answers each read with another mark: where it read the
 * caller's registers, and what the CFA came out as, then spells the rule. */
#include "client/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <libunwind.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "client/extent.h"
#include "client/glibc.h"
#include "client/import.h"
#include "client/levels.h"
#include "client/object.h"
#include "client/readable.h"
#include "client/rules.h"
#include "client/sys.h"

#define SCRATCH_BYTES (256u << 10)
/* A rule takes 10 us, but who is learning it may be waiting for a processor. */
#define WAIT_NS 1000000000u
#define STEPS_MAX 300u
#define REGISTERS 17u /* UNW_X86_64_RAX … RIP */

/* Marks lie where no address can: bits 48 and up tell register or read, the middle is offset 0. */
#define MARK_MIDDLE ((uint64_t)1 << 40)
#define MARK_REGISTER(n) (((uint64_t)(0x4100 + (n)) << 48) + MARK_MIDDLE)
#define MARK_READ(n) (((uint64_t)(0x4200 + (n)) << 48) + MARK_MIDDLE)
#define READS_MAX 64u

/* Not in its headers. */
typedef int SearchTable(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *table,
                        unw_proc_info_t *ret_info, int need_unwind_info, void *arg);

static struct {
    __typeof__(unw_create_addr_space) *create_addr_space;
    __typeof__(unw_set_caching_policy) *set_caching_policy;
    __typeof__(unw_init_remote) *init_remote;
    __typeof__(unw_step) *step;
    __typeof__(unw_get_reg) *get_reg;
    __typeof__(unw_is_signal_frame) *is_signal_frame;
    SearchTable *search_table;
} unwind;

/* What the engine works on; under its lock. The first members are what tt_engine_switch stores. */
typedef struct Work {
    uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip;
    bool is_probing; /* registers are marks */
    bool has_table;  /* unwind information was found */
    uint64_t ip;     /* of the first frame */
    uint64_t reads[READS_MAX];
    unsigned read_count;
    uint64_t key, bits; /* tt_engine_learn: of the rule */
    uint32_t epoch;
    uint64_t target_sp; /* tt_engine_ask */
    TtFrameState caller;
    int result;
} Work;

static Work work;
static unw_addr_space_t space;
static uint8_t *scratch_top;
static _Atomic uint64_t owner; /* thread pointer of whoever is in the engine */
static _Atomic bool is_lost;

/* Stores the callee-saved registers, the stack pointer after return and the return address in
 * @regs, and calls @function on another stack. */
void tt_engine_switch(Work *regs, void (*function)(void), void *stack_top);
__asm__(".pushsection .text\n"
        ".type tt_engine_switch, @function\n"
        ".hidden tt_engine_switch\n"
        ".globl tt_engine_switch\n"
        ".p2align 4\n"
        "tt_engine_switch:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    mov %rbx, (%rdi)\n"
        "    mov %rbp, 8(%rdi)\n"
        "    mov %r12, 16(%rdi)\n"
        "    mov %r13, 24(%rdi)\n"
        "    mov %r14, 32(%rdi)\n"
        "    mov %r15, 40(%rdi)\n"
        "    lea 8(%rsp), %rax\n"
        "    mov %rax, 48(%rdi)\n"
        "    mov (%rsp), %rax\n"
        "    mov %rax, 56(%rdi)\n"
        "    push %rbp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_rel_offset %rbp, 0\n"
        "    mov %rsp, %rbp\n"
        "    .cfi_def_cfa_register %rbp\n"
        "    mov %rdx, %rsp\n"
        "    call *%rsi\n"
        "    mov %rbp, %rsp\n"
        "    pop %rbp\n"
        "    .cfi_def_cfa %rsp, 8\n"
        "    .cfi_restore %rbp\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size tt_engine_switch, . - tt_engine_switch\n"
        ".popsection\n");

static int access_mem(unw_addr_space_t as, unw_word_t addr, unw_word_t *value, int is_write,
                      void *arg) {
    (void)as, (void)arg;
    if (is_write)
        return -UNW_EINVAL;
    if (!work.is_probing || addr >> 48 == 0)
        return tt_readable_get(addr, value) ? 0 : -UNW_EINVAL;

    unsigned i = 0;
    while (i < work.read_count && work.reads[i] != addr)
        i++;
    if (i == READS_MAX)
        return -UNW_EINVAL;
    if (i == work.read_count)
        work.reads[work.read_count++] = addr;
    *value = MARK_READ(i);
    return 0;
}

static int access_reg(unw_addr_space_t as, unw_regnum_t number, unw_word_t *value, int is_write,
                      void *arg) {
    (void)as, (void)arg;
    if (is_write || number < 0 || number > UNW_X86_64_RIP)
        return -UNW_EBADREG;
    if (number == UNW_X86_64_RIP) {
        *value = work.ip;
        return 0;
    }
    if (work.is_probing) {
        *value = MARK_REGISTER(number);
        return 0;
    }
    switch (number) {
    case UNW_X86_64_RBX:
        *value = work.rbx;
        return 0;
    case UNW_X86_64_RBP:
        *value = work.rbp;
        return 0;
    case UNW_X86_64_RSP:
        *value = work.rsp;
        return 0;
    case UNW_X86_64_R12:
        *value = work.r12;
        return 0;
    case UNW_X86_64_R13:
        *value = work.r13;
        return 0;
    case UNW_X86_64_R14:
        *value = work.r14;
        return 0;
    case UNW_X86_64_R15:
        *value = work.r15;
        return 0;
    default: /* of no use after a call */
        *value = 0;
        return 0;
    }
}

static int access_fpreg(unw_addr_space_t as, unw_regnum_t number, unw_fpreg_t *value, int is_write,
                        void *arg) {
    (void)as, (void)number, (void)value, (void)is_write, (void)arg;
    return -UNW_EBADREG;
}

/* .eh_frame_hdr: version 1, three encodings, then the address of .eh_frame, the number of entries
 * and the table, sorted, of pairs of 32-bit offsets (LSB 5.0, 10.6.2). */
#define EH_FRAME_HDR_VERSION 1u
#define ENCODING_UDATA4 0x03u
#define ENCODING_DATAREL_SDATA4 0x3bu

static int find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *ret_info,
                          int need_unwind_info, void *arg) {
    struct dl_find_object object;
    uint64_t head, more;

    if (!tt_object_find(ip, &object) || object.dlfo_eh_frame == NULL)
        return -UNW_ENOINFO;

    uint64_t table = (uint64_t)object.dlfo_eh_frame;
    uint64_t end = (uint64_t)object.dlfo_map_end;
    tt_readable_set_object((uint64_t)object.dlfo_map_start, end);
    if (table < (uint64_t)object.dlfo_map_start || table + 12 > end ||
        !tt_readable_get(table, &head) || !tt_readable_get(table + 4, &more))
        return -UNW_ENOINFO;
    uint64_t encoding = head >> 8 & 0xff; /* of the pointer to .eh_frame: any of four bytes */
    if ((head & 0xff) != EH_FRAME_HDR_VERSION || (encoding & 0x0f & ~0x08u) != ENCODING_UDATA4 ||
        (head >> 16 & 0xff) != ENCODING_UDATA4 || (head >> 24 & 0xff) != ENCODING_DATAREL_SDATA4)
        return -UNW_ENOINFO;
    uint64_t count = more >> 32;
    if (count == 0 || count > (end - table - 12) / 8)
        return -UNW_ENOINFO;

    unw_dyn_info_t info = {
        .start_ip = (unw_word_t)object.dlfo_map_start,
        .end_ip = end,
        .format = UNW_INFO_FORMAT_REMOTE_TABLE,
        .u.rti = {.segbase = table, .table_data = table + 12, .table_len = count},
    };
    int r = unwind.search_table(as, ip, &info, ret_info, need_unwind_info, arg);
    if (r >= 0)
        work.has_table = true;
    return r;
}

static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *info, void *arg) {
    (void)as, (void)info, (void)arg;
}

static int get_dyn_info_list_addr(unw_addr_space_t as, unw_word_t *ret_addr, void *arg) {
    (void)as, (void)ret_addr, (void)arg;
    return -UNW_ENOINFO;
}

static int resume(unw_addr_space_t as, unw_cursor_t *cursor, void *arg) {
    (void)as, (void)cursor, (void)arg;
    return -UNW_EINVAL;
}

static int get_proc_name(unw_addr_space_t as, unw_word_t ip, char *name, size_t len,
                         unw_word_t *ret_offset, void *arg) {
    (void)as, (void)ip, (void)name, (void)len, (void)ret_offset, (void)arg;
    return -UNW_ENOINFO;
}

static void create_space(void) {
    /* Later versions read more accessors than our header knows; they are to find NULL. */
    static union {
        unw_accessors_t accessors;
        uint8_t room[512];
    } given;

    given.accessors = (unw_accessors_t){
        .find_proc_info = find_proc_info,
        .put_unwind_info = put_unwind_info,
        .get_dyn_info_list_addr = get_dyn_info_list_addr,
        .access_mem = access_mem,
        .access_reg = access_reg,
        .access_fpreg = access_fpreg,
        .resume = resume,
        .get_proc_name = get_proc_name,
    };
    space = unwind.create_addr_space(&given.accessors, 0);
    if (space != NULL)
        unwind.set_caching_policy(space, UNW_CACHE_NONE); /* it knows nothing of our epochs */
}

/* libunwind begins by making a pipe, for validating memory in its local mode; ours never uses it,
 * and the numbers are the program's. They were the lowest that were free. */
static void close_pipe(int fds[2]) {
    struct stat ends[2];

    for (int i = 0; i < 2; i++)
        if (TT_SYS2(SYS_fstat, fds[i], &ends[i]) < 0 || !S_ISFIFO(ends[i].st_mode))
            return;
    if (ends[0].st_ino != ends[1].st_ino)
        return;
    tt_sys_close(fds[0]);
    tt_sys_close(fds[1]);
}

/* It blocks signals round each of its locks, three or four times a step: whoever enters has blocked
 * them already. */
static int leave_mask(int how, const sigset_t *set, sigset_t *ret_old) {
    (void)how, (void)set, (void)ret_old;
    return 0;
}

static int find_free_number(int from) {
    while (TT_SYS2(SYS_fcntl, from, F_GETFD) >= 0)
        from++;
    return from;
}

int tt_engine_init(void) {
    static const struct {
        const char *symbol;
        size_t offset;
    } functions[] = {
        {"_Ux86_64_create_addr_space", offsetof(__typeof__(unwind), create_addr_space)},
        {"_Ux86_64_set_caching_policy", offsetof(__typeof__(unwind), set_caching_policy)},
        {"_Ux86_64_init_remote", offsetof(__typeof__(unwind), init_remote)},
        {"_Ux86_64_step", offsetof(__typeof__(unwind), step)},
        {"_Ux86_64_get_reg", offsetof(__typeof__(unwind), get_reg)},
        {"_Ux86_64_is_signal_frame", offsetof(__typeof__(unwind), is_signal_frame)},
        {"_Ux86_64_dwarf_search_unwind_table", offsetof(__typeof__(unwind), search_table)},
    };
    void *handle = dlmopen(LM_ID_NEWLM, "libunwind-x86_64.so.8", RTLD_NOW | RTLD_LOCAL);

    if (handle == NULL)
        return -ENOENT;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *address = dlsym(handle, functions[i].symbol);
        if (address == NULL)
            return -ENOSYS;
        memcpy((uint8_t *)&unwind + functions[i].offset, &address, sizeof address);
    }

    (void)tt_import_replace((void *)unwind.step, "sigprocmask", (void *)leave_mask);

    uint8_t *memory = tt_sys_map_private(SCRATCH_BYTES + TT_PAGE_BYTES);
    if (memory == NULL)
        return -ENOMEM;
    TT_SYS3(SYS_mprotect, memory, TT_PAGE_BYTES, PROT_NONE);
    TT_SYS3(SYS_madvise, memory, SCRATCH_BYTES + TT_PAGE_BYTES, MADV_DONTDUMP);
    scratch_top = memory + SCRATCH_BYTES + TT_PAGE_BYTES;

    int fds[2] = {find_free_number(0), -1};
    fds[1] = find_free_number(fds[0] + 1);
    create_space();
    close_pipe(fds);
    return space == NULL ? -ENOMEM : 0;
}

/* Enters the engine, or not. */
static bool enter(uint64_t *ret_mask) {
    uint64_t deadline = 0;
    unsigned round = 0;

    if (space == NULL || tt_is_sealed_now() || atomic_load_explicit(&is_lost, memory_order_relaxed))
        return false;
    tt_sys_block_signals(ret_mask);
    uint64_t self = tt_thread_pointer();
    for (uint64_t who = 0; !atomic_compare_exchange_strong_explicit(
             &owner, &who, self, memory_order_acquire, memory_order_relaxed);
         who = 0) {
        uint64_t now = tt_sys_monotonic_ns();
        if (deadline == 0)
            deadline = now + WAIT_NS;
        if (who == self || now > deadline || atomic_load_explicit(&is_lost, memory_order_relaxed)) {
            tt_sys_restore_signals(ret_mask);
            return false;
        }
        tt_sys_wait_a_little(round++);
    }
    work.read_count = 0;
    tt_readable_begin(tt_epoch_now());
    work.has_table = false;
    return true;
}

static void leave(const uint64_t *mask) {
    /* The program's registers: a scan for pointers to blocks would find them here. */
    memset(&work, 0, offsetof(Work, rsp));
    work.caller = (TtFrameState){0};
    atomic_store_explicit(&owner, 0, memory_order_release);
    tt_sys_restore_signals(mask);
}

void tt_engine_after_fork(void) {
    if (atomic_load_explicit(&owner, memory_order_relaxed) != 0)
        atomic_store_explicit(&is_lost, true, memory_order_relaxed);
}

/* The read that gave a mark, or 0. */
static uint64_t read_behind(uint64_t mark) {
    uint64_t number = (mark - MARK_READ(0)) >> 48;

    return number < work.read_count && mark == MARK_READ(number) ? work.reads[number] : 0;
}

/* Words from one address down to another, or UINT64_MAX: no small whole number. */
static uint64_t words_down(uint64_t from, uint64_t to) {
    uint64_t bytes = from - to;

    return bytes % 8 == 0 && bytes / 8 <= TT_RULE_WORDS_MAX ? bytes / 8 : UINT64_MAX;
}

/* From where the registers were found to a rule. */
static uint64_t spell(uint64_t cfa, uint64_t ip, uint64_t bp) {
    const uint64_t own_sp = MARK_REGISTER(UNW_X86_64_RSP), own_bp = MARK_REGISTER(UNW_X86_64_RBP);
    uint64_t ask = tt_rule_make(TT_RULE_ASK, 0, 0);
    uint64_t cfa_at = read_behind(cfa), ip_at = read_behind(ip), bp_at = read_behind(bp);

    if (cfa_at == own_sp + TT_UCONTEXT_SP && ip_at == own_sp + TT_UCONTEXT_IP &&
        bp_at == own_sp + TT_UCONTEXT_BP)
        return tt_rule_make(TT_RULE_SIGNAL, 0, 0);
    if (ip_at != cfa - 8)
        return ask;

    uint64_t words = words_down(own_bp, cfa_at);
    if (cfa_at != 0 && bp_at == own_bp && words != UINT64_MAX && words > 0)
        return tt_rule_make(TT_RULE_REALIGNED, words, 0);

    uint64_t bp_words = bp == own_bp ? 0 : words_down(cfa, bp_at);
    if (bp_words == 1 || bp_words > TT_RULE_BP_MAX)
        return ask;
    words = words_down(cfa, own_sp);
    if (words != UINT64_MAX && words > 0)
        return tt_rule_make(TT_RULE_SP, words, bp_words);
    words = words_down(cfa, own_bp);
    if (words != UINT64_MAX && words > 0)
        return tt_rule_make(TT_RULE_BP, words, bp_words);
    return ask;
}

/* The rule at work.ip. */
static uint64_t compute(void) {
    const uint64_t none = tt_rule_make(TT_RULE_NONE, 0, 0);
    unw_cursor_t cursor;
    unw_word_t cfa, ip, bp;

    if (unwind.init_remote(&cursor, space, NULL) < 0)
        return none;
    int r = unwind.step(&cursor);
    /* Without unwind information libunwind guesses. We do not. */
    if (!work.has_table || r < 0)
        return none;
    if (r == 0)
        return work.read_count == 0 ? tt_rule_make(TT_RULE_END, 0, 0) : none;
    if (unwind.get_reg(&cursor, UNW_REG_SP, &cfa) < 0 ||
        unwind.get_reg(&cursor, UNW_REG_IP, &ip) < 0 ||
        unwind.get_reg(&cursor, UNW_X86_64_RBP, &bp) < 0)
        return none;
    return spell(cfa, ip, bp);
}

/* FF /2 with its ModRM byte at @modrm and an instruction of @len bytes from it to the end. */
static bool is_indirect_call(const uint8_t *modrm, unsigned len) {
    unsigned mode = *modrm >> 6, base = *modrm & 7;
    unsigned has_sib = mode != 3 && base == 4;
    unsigned displacement = mode == 1 ? 1 : mode == 2 ? 4 : mode == 0 && base == 5 ? 4 : 0;

    if (mode == 0 && has_sib && len > 1 && (modrm[1] & 7) == 5)
        displacement = 4;
    /* A debugger's breakpoint may stand on the first byte. */
    return (modrm[-1] == 0xff || modrm[-1] == 0xcc) && (*modrm >> 3 & 7) == 2 &&
           1 + has_sib + displacement == len;
}

/* Does a call end at @addr? @can_read: is a page readable? */
static bool is_call_before(uint64_t addr, bool can_read(uint64_t addr)) {
    uint8_t code[8] = {0};
    uint64_t page = (addr - 1) & ~(uint64_t)(TT_PAGE_BYTES - 1);

    if (addr < TT_PAGE_BYTES || addr >= TT_USER_END || !can_read(page))
        return false;
    uint64_t from = addr - 8 < page && !can_read(addr - 8) ? page : addr - 8;
    memcpy(code + 8 - (addr - from), (const void *)from, addr - from);
    if (code[3] == 0xe8 || code[3] == 0xcc)
        return true;
    for (unsigned len = 1; len <= 6; len++)
        if (is_indirect_call(code + 8 - len, len))
            return true;
    return false;
}

bool tt_engine_is_call_before(uint64_t addr) { return is_call_before(addr, tt_probe_page); }

/* On the scratch stack. */
static void learn(void) {
    uint64_t addr = work.key & TT_KEY_IP_MASK;
    bool is_exact = (work.key & TT_KEY_EXACT) != 0;

    /* The row of a call is that of the call itself; its return address may begin another function.
     * libunwind takes the first frame's ip as it is, so this is said here. */
    work.ip = is_exact ? addr : addr - 1;
    work.bits = compute();
    TtRuleKind kind = tt_rule_kind(work.bits);
    if (!is_exact && kind != TT_RULE_END && kind != TT_RULE_SIGNAL &&
        !is_call_before(addr, tt_readable_page))
        work.bits = tt_rule_make(TT_RULE_WRONG, 0, 0);
    work.bits |= (uint64_t)work.epoch << 32;
    tt_rules_put(work.key, work.bits);
}

bool tt_engine_learn(uint64_t key, uint32_t epoch, uint64_t *ret_bits) {
    uint64_t mask;

    if (!enter(&mask))
        return false;
    work.is_probing = true;
    work.key = key;
    work.epoch = epoch;
    tt_engine_switch(&work, learn, scratch_top);
    *ret_bits = work.bits;
    leave(&mask);
    return true;
}

/* On the scratch stack. */
static void ask(void) {
    unw_cursor_t cursor;
    unw_word_t ip, sp = 0, bp;

    work.result = -ENOENT;
    work.ip = work.rip - 1;
    if (unwind.init_remote(&cursor, space, NULL) < 0)
        return;
    for (unsigned i = 0; i < STEPS_MAX && sp != work.target_sp; i++) {
        work.has_table = false;
        if (unwind.step(&cursor) <= 0 || !work.has_table ||
            unwind.get_reg(&cursor, UNW_REG_SP, &sp) < 0 || sp > work.target_sp)
            return;
    }
    if (sp != work.target_sp)
        return;

    bool is_signal = unwind.is_signal_frame(&cursor) > 0;
    work.has_table = false;
    int r = unwind.step(&cursor);
    if (r < 0 || !work.has_table)
        return;
    if (r == 0) {
        work.result = 0;
        return;
    }
    if (unwind.get_reg(&cursor, UNW_REG_IP, &ip) < 0 ||
        unwind.get_reg(&cursor, UNW_REG_SP, &sp) < 0 ||
        unwind.get_reg(&cursor, UNW_X86_64_RBP, &bp) < 0)
        return;
    work.caller = (TtFrameState){.ip = ip | (is_signal ? TT_KEY_EXACT : 0), .sp = sp, .bp = bp};
    work.result = 1;
}

__attribute__((cold, noinline)) int tt_engine_ask(uint64_t sp, TtFrameState *ret_caller) {
    uint64_t mask;

    if (!enter(&mask))
        return -EBUSY;
    work.is_probing = false;
    work.target_sp = sp;
    tt_engine_switch(&work, ask, scratch_top);
    *ret_caller = work.caller;
    int result = work.result;
    leave(&mask);
    return result;
}
