/* SPDX-License-Identifier: Apache-2.0 */
/* Walk, or verify and reuse.
 *
 * A walk is a function: of a frame's stack pointer, ip and rbp, and of the words that it reads on
 * its way out. So where a frame stands as it stood in the last stack, and all words that were read
 * beyond it are as they were, the rest of the stack is the same, and so is its id: by induction,
 * not by luck. Each word is read only once all words within it are known to be the same, for its
 * address came from them: a walk would read it next. rbp counts only where something beyond
 * depended on it; most code has numbers in it.
 *
 * Cost at a depth of d frames, in instructions (gcc 12; tests/unit/client/stack-cost.c holds it),
 * and in nanoseconds at depth 8, 40 and 100 on the machine that DESIGN.md's figures are from:
 *
 *   - the last stack again: 39 + 4.25 d, or 8, 18, 36 ns. Two loads, a comparison with memory and a
 *     branch are the floor for a word.
 *   - two other innermost frames, which once were the last stack's (branches.h): 126 + 4.25 d
 *   - two other innermost frames that were not: 640 + 4.25 d
 *   - walked anew: 250 + 150 d, or 110, 700, 1300 ns */
#include "client/stack.h"

#include "client/branches.h"
#include "client/engine.h"
#include "client/extent.h"
#include "client/glibc.h"
#include "client/intern.h"
#include "client/modules.h"
#include "client/object.h"

#include <errno.h>
#include <ucontext.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
/* Two words read one after the other are not to become one vector: both are needed at once. */
#define KEEP_APART(word) __asm__("" : "+r"(word))
#define DEPTH_MAX TT_STACK_DEPTH_MAX
#define WORDS_MAX TT_STACK_WORDS_MAX

uint64_t tt_loader_start, tt_loader_size;
_Atomic uint32_t tt_seal_count;
static bool is_ready; /* the tables are there */

/* In the loader, and nowhere else. Weak: it is the loader's, and we name libc alone. */
extern void *__tls_get_addr(void *) __attribute__((weak));

typedef enum End {
    END_JOINED, /* the rest is that of the last stack */
    END_WHOLE,
    END_TRUNCATED, /* and would be again, were the same words read */
    END_ODD,       /* truncated for a reason that may not hold the next time */
    END_CUT,       /* at DEPTH_MAX */
} End;

typedef struct Walk {
    TtStackCache *cache;
    TtExtent extent;
    uint64_t slot, ip, bp; /* the frame at hand */
    uint32_t epoch;
    uint32_t count;     /* of cache->fresh */
    uint32_t joined;    /* index in cache->frames, or DEPTH_MAX */
    uint32_t asked;     /* how many of the innermost frames the engine was needed for */
    bool is_exact;      /* ip is marked TT_KEY_EXACT, and not a wild value */
    bool has_tail;      /* slot, ip and bp were read, but are no frame */
    bool is_zero;       /* all of that tail but its slot */
    bool has_signal;    /* a handler's frames may be on a stack of its own */
    bool has_descended; /* and that above the one that it interrupted */
} Walk;

/* The first word that is not as it was, or the one past the last. */
static inline __attribute__((always_inline)) const TtStackWord *
find_changed(const TtStackWord *word) {
    for (;; word += 4) {
        if (*word[0].addr != word[0].value)
            return word;
        if (*word[1].addr != word[1].value)
            return word + 1;
        if (*word[2].addr != word[2].value)
            return word + 2;
        if (*word[3].addr != word[3].value)
            return word + 3;
    }
}

/* The same on a foreign stack: a page that none of the words within it lay in may be gone. */
static __attribute__((noinline)) const TtStackWord *
find_changed_probing(const Walk *walk, uint64_t slot, const TtStackWord *word) {
    const TtStackWord *end = &walk->cache->words[WORDS_MAX];
    TtExtent extent = walk->extent;
    uint64_t low = slot;

    for (; word < end; word++) {
        uint64_t addr = (uint64_t)word->addr;

        if (addr - low >= extent.high - low) {
            if (!tt_extent_grow(&extent, low, addr, addr))
                return word;
            low = addr;
        }
        if (*word->addr != word->value)
            return word;
    }
    return end;
}

/* Does the frame at hand, which is @frame's twin, have the rest of the last stack beyond it? Else
 * the first frame of it that lies further out than what changed. */
static inline const TtStackFrame *try_join(Walk *walk, const TtStackFrame *frame, uint32_t count) {
    TtStackCache *cache = walk->cache;
    uint32_t index = (uint32_t)(frame - cache->frames);

    /* A stack cut at the greatest depth was cut elsewhere, were it longer or shorter. */
    if (UNLIKELY(count > index || (cache->is_cut && count != index)))
        return frame;

    const TtStackWord *word = &cache->words[frame->word];
    word = UNLIKELY(walk->extent.is_foreign && cache->epoch == 0)
               ? find_changed_probing(walk, frame->slot, word)
               : find_changed(word);
    if (LIKELY(word == &cache->words[WORDS_MAX])) {
        walk->joined = index;
        return NULL;
    }
    for (uint32_t changed = (uint32_t)(word - cache->words); frame->word <= changed;)
        frame++;
    return frame;
}

/* A word further out than the frame at hand, of whose place nothing is known. */
static bool read_word(Walk *walk, uint64_t addr, uint64_t *ret_value) {
    if ((addr & 7) != 0 || addr <= walk->slot ||
        (addr >= walk->extent.high && !tt_extent_grow(&walk->extent, walk->slot, addr, addr)))
        return false;
    *ret_value = *(const uint64_t *)addr;
    return true;
}

static __attribute__((noinline)) bool step_realigned(Walk *walk, uint64_t bits) {
    uint64_t cfa_at = walk->bp - tt_rule_bytes(bits), cfa, bp, ip;

    if (!read_word(walk, cfa_at, &cfa))
        return false;
    walk->slot = cfa_at;
    if (!read_word(walk, walk->bp, &bp))
        return false;
    walk->slot = walk->bp;
    if (!read_word(walk, cfa - 8, &ip))
        return false;
    walk->slot = cfa - 8;
    walk->ip = ip;
    walk->bp = bp;
    return true;
}

/* A handler on a stack of its own may stand above what it interrupted. */
static bool may_descend(Walk *walk, uint64_t slot) {
    if (walk->has_descended || !walk->extent.is_foreign ||
        slot - walk->extent.own_low >= walk->extent.own_high - walk->extent.own_low)
        return false;
    walk->has_descended = true;
    return true;
}

static __attribute__((cold, noinline)) bool step_signal(Walk *walk) {
    uint64_t context = walk->slot + 8, sp, ip, bp;

    if (!read_word(walk, context + TT_UCONTEXT_BP, &bp) ||
        !read_word(walk, context + TT_UCONTEXT_SP, &sp) ||
        !read_word(walk, context + TT_UCONTEXT_IP, &ip) || (sp & 7) != 0 || ip >= TT_USER_END)
        return false;
    if (sp - 8 <= context + TT_UCONTEXT_IP) {
        if (!may_descend(walk, sp - 8))
            return false;
        walk->extent.high = walk->extent.own_high;
    } else if (sp - 8 >= walk->extent.high &&
               !tt_extent_grow(&walk->extent, walk->slot, sp - 8, sp - 8)) {
        return false;
    }
    walk->slot = sp - 8;
    walk->ip = ip | TT_KEY_EXACT;
    walk->is_exact = walk->has_signal = true;
    walk->bp = bp;
    return true;
}

/* Returns as tt_engine_ask. */
static __attribute__((cold, noinline)) int step_asking(Walk *walk) {
    TtFrameState caller;
    uint64_t word;
    int r = tt_engine_ask(walk->slot + 8, &caller);

    walk->asked = walk->count;
    if (r <= 0)
        return r;
    if (!read_word(walk, caller.sp - 8, &word))
        return -ENOENT;
    walk->slot = caller.sp - 8;
    walk->ip = caller.ip;
    walk->is_exact = (caller.ip & TT_KEY_EXACT) != 0;
    walk->bp = caller.bp;
    return 1;
}

/* From a frame whose rule is neither of the common two. True: go on. */
static __attribute__((noinline)) bool step_rarely(Walk *walk, uint64_t bits, End *ret_end) {
    int r;

    *ret_end = END_ODD;
    switch (tt_rule_kind(bits)) {
    case TT_RULE_REALIGNED:
        return step_realigned(walk, bits);
    case TT_RULE_SIGNAL:
        return step_signal(walk);
    case TT_RULE_ASK:
        r = step_asking(walk);
        if (r == 0)
            *ret_end = END_WHOLE;
        return r > 0;
    case TT_RULE_END:
        *ret_end = END_WHOLE;
        return false;
    default:
        /* The loader calls constructors from the process's first frame, without a word on it. */
        *ret_end = tt_extent_is_top(walk->slot) ? END_WHOLE : END_TRUNCATED;
        return false;
    }
}

/* Walks outward from the frame at hand until the stack ends or joins the last one. */
static inline __attribute__((always_inline)) End walk_out(Walk *walk) {
    TtStackCache *cache = walk->cache;
    const TtStackFrame *cached = &cache->frames[DEPTH_MAX - cache->frame_count];
    TtStackStep *fresh = cache->fresh;
    uint64_t slot = walk->slot, ip = walk->ip, bp = walk->bp;
    TtRule rule;
    End end = END_ODD;

    for (;;) {
        if (UNLIKELY(ip - 1 >= TT_USER_END - 1)) {
            if (!walk->is_exact)
                goto tail;
            walk->is_exact = false;
        }
        while (cached->slot < slot)
            cached++;
        if (cached->slot == slot && tt_key_is(cached->key, ip) &&
            (!cached->needs_bp || cached->hidden_bp == ~bp)) {
            cached = try_join(walk, cached, (uint32_t)(fresh - cache->fresh));
            if (LIKELY(cached == NULL)) {
                end = END_JOINED;
                break;
            }
        }
        if (UNLIKELY(fresh == &cache->fresh[DEPTH_MAX])) {
            end = END_CUT;
            break;
        }
        bool is_known = tt_rules_get(ip, walk->epoch, &rule);
        if (UNLIKELY(tt_rule_kind(rule.bits) == TT_RULE_WRONG))
            goto tail;
        fresh->slot = slot;
        fresh->key = rule.key;
        fresh->hidden_bp = ~bp;
        fresh->rule = rule.bits;
        fresh++;
        if (UNLIKELY(!is_known))
            break;

        if (LIKELY((uint32_t)rule.bits >> 30 == 0)) {
            uint64_t base = rule.bits & TT_RULE_IS_BP ? bp : slot + 8;
            uint64_t next = base + tt_rule_bytes(rule.bits) - 8;
            uint64_t bp_bytes = tt_rule_bp_bytes(rule.bits), bp_at = next + 8 - bp_bytes;

            /* Frames ascend: whatever the words say, a walk ends. */
            if (UNLIKELY(next <= slot || (next & 7) != 0) ||
                (UNLIKELY(next >= walk->extent.high) &&
                 !tt_extent_grow(&walk->extent, slot, next, bp_bytes == 0 ? next : bp_at)))
                break;
            if (bp_bytes != 0) {
                if (UNLIKELY(bp_at <= slot))
                    break;
                bp = *(const uint64_t *)bp_at;
            }
            slot = next;
            ip = *(const uint64_t *)next;
            KEEP_APART(ip);
            continue;
        }
        walk->slot = slot;
        walk->ip = ip;
        walk->bp = bp;
        walk->count = (uint32_t)(fresh - cache->fresh);
        if (!step_rarely(walk, rule.bits, &end))
            break;
        slot = walk->slot;
        ip = walk->ip;
        bp = walk->bp;
    }
    goto out;

tail: /* no frame any more: the end of a stack, or no one knows what */
    walk->has_tail = true;
    /* Where a stack was made by hand, both are 0 (psABI 3.4.1 asks it of rbp): a single 0 may stand
     * anywhere. */
    walk->is_zero = (ip | bp) == 0;
    end = walk->is_zero || ip == tt_rules_context_end ? END_WHOLE : END_TRUNCATED;
out:
    walk->slot = slot;
    walk->ip = ip;
    walk->bp = bp;
    walk->count = (uint32_t)(fresh - cache->fresh);
    return end;
}

/* Adds a word before those that there are. */
static inline TtStackWord *push_word(TtStackWord *word, uint64_t addr, uint64_t value) {
    *--word = (TtStackWord){.addr = (const uint64_t *)addr, .value = value};
    return word;
}

/* The words of the rarer steps, from @own to a frame with @slot, @ip and @bp. From a frame that the
 * engine was asked for nothing is reused. */
static __attribute__((noinline)) TtStackWord *push_rare_words(TtStackWord *word, bool *needs_bp,
                                                              const TtStackStep *own, uint64_t slot,
                                                              uint64_t ip, uint64_t bp) {
    uint64_t context = own->slot + 8;

    switch (tt_rule_kind(own->rule)) {
    case TT_RULE_REALIGNED:
        word = push_word(word, slot, ip);
        if (*needs_bp)
            word = push_word(word, ~own->hidden_bp, bp);
        *needs_bp = true;
        return push_word(word, ~own->hidden_bp - tt_rule_bytes(own->rule), slot + 8);
    case TT_RULE_SIGNAL:
        word = push_word(word, context + TT_UCONTEXT_IP, ip & TT_KEY_IP_MASK);
        word = push_word(word, context + TT_UCONTEXT_SP, slot + 8);
        if (*needs_bp)
            word = push_word(word, context + TT_UCONTEXT_BP, bp);
        *needs_bp = false;
        return word;
    default:
        return word;
    }
}

/* Gives the new frames their ids and makes them the last stack. Returns the innermost one's id, or
 * 0: no room for a definition. */
static inline __attribute__((always_inline)) uint32_t rebuild_stack(TtThread *thread,
                                                                    const Walk *walk, End end) {
    TtStackCache *cache = walk->cache;
    TtStackFrame *frame = &cache->frames[walk->joined];
    TtStackWord *word = &cache->words[WORDS_MAX];
    const TtStackStep *step = &cache->fresh[walk->count];
    uint64_t slot = walk->slot, ip = walk->ip, bp = walk->bp;
    TtNodes *nodes = cache->nodes;
    uint32_t node = end == END_WHOLE ? TT_STACK_ROOT : TT_STACK_TRUNCATED;
    bool needs_bp = false, has_bp = false, has_next = walk->has_tail;

    if (end == END_JOINED) {
        has_next = true;
        slot = frame->slot;
        ip = frame->key & TT_KEY_IP_MASK;
        bp = ~frame->hidden_bp;
        word = &cache->words[frame->word];
        needs_bp = frame->needs_bp;
        has_bp = frame->has_bp;
        node = frame->node;
    } else {
        cache->is_whole = end == END_WHOLE;
        cache->is_ended = end == END_WHOLE && !walk->is_zero;
        needs_bp = walk->has_tail && walk->ip == 0;
        cache->is_cut = end == END_CUT;
    }

    while (step-- > cache->fresh) {
        uint64_t rule = step->rule, key = step->key;

        node = tt_intern_get(thread, nodes, node, key);
        if (UNLIKELY(node == 0 || word < cache->words + 4))
            return 0;
        /* The words by which the walk came from this frame to the next. */
        if (UNLIKELY(!has_next)) {
            has_next = true;
        } else if (LIKELY((uint32_t)rule >> 30 == 0)) {
            word = push_word(word, slot, ip);
            if (needs_bp && tt_rule_bp_bytes(rule) != 0) {
                word = push_word(word, slot + 8 - tt_rule_bp_bytes(rule), bp);
                needs_bp = false;
            }
            needs_bp |= (rule & TT_RULE_IS_BP) != 0;
        } else {
            bool still_needs_bp = needs_bp;
            word = push_rare_words(word, &still_needs_bp, step, slot, ip, bp);
            needs_bp = still_needs_bp;
        }
        has_bp |= needs_bp;
        slot = step->slot;
        ip = key & TT_KEY_IP_MASK;
        bp = ~step->hidden_bp;
        frame--;
        frame->slot = slot;
        frame->key = key;
        frame->hidden_bp = step->hidden_bp;
        frame->node = node;
        frame->word = (uint16_t)(word - cache->words);
        frame->needs_bp = needs_bp;
        frame->has_bp = has_bp;
    }

    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (UNLIKELY(end == END_ODD))
        return node;
    /* Where no rbp had a say, and the last frame said that it is the last, rules alone led the way:
     * it cannot have left the stack. */
    cache->epoch = !walk->extent.is_foreign || (cache->is_ended && !has_bp) ? walk->epoch : 0;
    cache->real_epoch = walk->epoch;
    /* Frames within one that the engine was asked for depend on more than words. */
    cache->frame_count = (uint32_t)(&cache->frames[DEPTH_MAX] - frame) - walk->asked;
    return node;
}

static __attribute__((noinline)) uint32_t capture_anew(TtThread *thread, uint64_t ip, uint64_t slot,
                                                       uint64_t bp) {
    TtStackCache *cache = &thread->stack;
    TtNodes *nodes = tt_intern_nodes();
    Walk walk;

    if (UNLIKELY(!is_ready || nodes == NULL))
        return TT_STACK_NONE;
    walk.cache = cache;
    walk.slot = slot;
    walk.ip = ip;
    walk.bp = bp;
    walk.epoch = tt_epoch_now();
    walk.joined = DEPTH_MAX;
    walk.asked = 0;
    walk.is_exact = walk.has_tail = walk.is_zero = walk.has_signal = walk.has_descended = false;
    tt_extent_begin(&walk.extent, cache, slot);
    if (cache->nodes == NULL)
        cache->nodes = nodes;
    if (UNLIKELY(cache->nodes != nodes))
        return TT_STACK_ROOT; /* the thread is in a hook that began in a session before */
    if (UNLIKELY(cache->real_epoch != walk.epoch))
        cache->frame_count = 0;
    if (UNLIKELY(cache->frame_count == 0)) {
        cache->is_whole = cache->is_ended = cache->is_cut = false;
        cache->frames[DEPTH_MAX] = (TtStackFrame){.slot = UINT64_MAX, .word = UINT16_MAX};
        cache->words[WORDS_MAX] = (TtStackWord){.addr = (uint64_t *)&cache->words[WORDS_MAX].addr};
    }

    End end = walk_out(&walk);
    /* A handler that leaves by longjmp leaves no half of a stack behind. */
    cache->frame_count = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (UNLIKELY(walk.count == 0 && end != END_JOINED))
        return TT_STACK_NONE;

    uint32_t id = rebuild_stack(thread, &walk, end);
    if (end == END_JOINED && walk.asked == 0 && !walk.extent.is_foreign && id != 0 &&
        tt_branch_is_worth_it(cache, id))
        tt_branch_keep(cache, ip, walk.joined);
    if (UNLIKELY(walk.extent.is_foreign && !walk.has_signal && end != END_ODD && id != 0))
        tt_extent_learn(cache, slot, cache->frames[DEPTH_MAX - 1].slot, cache->is_whole);
    return id;
}

/* The stack is not the last one as a whole: one of the earlier ones that share its outer part? */
static __attribute__((noinline)) uint32_t recall(TtThread *thread, uint64_t ip, uint64_t slot,
                                                 uint64_t bp) {
    TtStackCache *cache = &thread->stack;

    if (LIKELY(cache->epoch == tt_epoch_now() && tt_extent_is_own(cache, slot))) {
        const TtStackBranch *branch = tt_branches_at(cache, slot, ip);

        for (unsigned i = 0; i < TT_STACK_BRANCH_WAYS; i++, branch++) {
            const TtStackFrame *join = tt_branch_find_join(cache, branch, slot, ip, bp);

            if (join != NULL && find_changed(&cache->words[join->word]) == &cache->words[WORDS_MAX])
                return branch->node;
        }
    }
    return capture_anew(thread, ip, slot, bp);
}

uint32_t tt_stack_capture(TtThread *thread, uint64_t ip, uint64_t cfa, uint64_t bp) {
    TtStackCache *cache = &thread->stack;
    const TtStackFrame *frame = &cache->frames[DEPTH_MAX - cache->frame_count];

    if (LIKELY(frame->slot == cfa - 8 && tt_key_is(frame->key, ip) &&
               cache->epoch == tt_epoch_now() && (!frame->needs_bp || frame->hidden_bp == ~bp)) &&
        LIKELY(find_changed(&cache->words[frame->word]) == &cache->words[WORDS_MAX]))
        return frame->node;
    return recall(thread, ip, cfa - 8, bp);
}

/* Has makecontext tell where it lets coroutines return to. */
static void find_context_end(void) {
    static uint64_t stack[512];
    static ucontext_t context;

    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = sizeof stack;
    makecontext(&context, (void (*)(void))tt_stack_seal, 0);
    uint64_t sp = (uint64_t)context.uc_mcontext.gregs[REG_RSP];
    if (sp - (uint64_t)stack < sizeof stack && (sp & 7) == 0)
        tt_rules_context_end = *(const uint64_t *)sp;
}

int tt_stack_init(void) {
    struct dl_find_object loader;
    int r;

    if (&__tls_get_addr != NULL && _dl_find_object((void *)__tls_get_addr, &loader) == 0) {
        tt_loader_start = (uint64_t)loader.dlfo_map_start;
        tt_loader_size = (uint64_t)loader.dlfo_map_end - tt_loader_start;
    }
    tt_extent_init();
    tt_object_init();
    find_context_end();
    if ((r = tt_rules_init()) < 0 || (r = tt_intern_init()) < 0 || (r = tt_modules_init()) < 0)
        return r;
    is_ready = true;
    return tt_engine_init();
}

void tt_stack_restart_session(bool is_resumed) { tt_intern_restart(is_resumed); }

void tt_stack_after_fork(void) {
    tt_engine_after_fork();
    tt_modules_after_fork();
    tt_intern_after_fork();
}

void tt_stack_seal(bool is_sealed) {
    atomic_fetch_add_explicit(&tt_seal_count, is_sealed ? 1 : UINT32_MAX, memory_order_relaxed);
}

void tt_stack_advance_epoch(void) { atomic_fetch_add_explicit(&tt_epoch, 1, memory_order_acq_rel); }
