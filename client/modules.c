/* SPDX-License-Identifier: Apache-2.0 */
/* What makes it hard: nothing here may take the loader's lock or allocate, so all is read from the
 * mapped headers, whose pages are probed first; and readers do not lock. */
#include "client/modules.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "client/clock.h"
#include "client/hello.h"
#include "client/lane.h"
#include "client/lock.h"
#include "client/object.h"
#include "client/pages.h"
#include "client/rules.h"
#include "client/session.h"

#define MODULES_MAX 16384u /* identities; 1 MiB of address space, touched as they come */
#define HEADS 1024u
#define SEGMENTS_MAX 32u
#define PHDRS_MAX 64u
#define SEGMENT_RECORD_BYTES 64u
#define GONE_RECORD_BYTES 32u
#define GONE_AT_ONCE 16u
#define HASHED_TABLE_BYTES 65536u

typedef struct Module {
    uint64_t start, end;
    uint64_t fingerprint;   /* of path, build-id, headers */
    _Atomic uint32_t epoch; /* in which it was last seen; release */
    uint32_t next;          /* id of the next with the same hash of start, or 0 */
    uint32_t announced;     /* session that knows it, or is just told of it */
    _Atomic uint32_t told;  /* session that has been told all; release */
    bool is_gone;           /* another was seen in its place */
    bool is_gone_untold;    /* and no record says so yet */
} Module;

/* Under the lock; entries up to count are read without it. Index is id - 1. */
static Module *modules;
static _Atomic uint32_t module_count;
static _Atomic uint32_t heads[HEADS]; /* ids */
static uint32_t untold_count;
static TtLock lock;

int tt_modules_init(void) {
    modules = tt_pages_map(MODULES_MAX * sizeof(Module));
    return modules == NULL ? -ENOMEM : 0;
}

static uint32_t head_of(uint64_t start) {
    return (uint32_t)((start >> 12) * 0x9e3779b1u >> 8) % HEADS;
}

/* Reading what may not be there. The module stays loaded meanwhile, so an answer holds. */
static bool is_readable(uint64_t start, uint64_t end, const struct dl_find_object *object) {
    if (start > end || start < (uint64_t)object->dlfo_map_start ||
        end > (uint64_t)object->dlfo_map_end)
        return false;
    for (uint64_t page = start & ~(uint64_t)(TT_PAGE_BYTES - 1); page < end; page += TT_PAGE_BYTES)
        if (!tt_probe_page(page))
            return false;
    return true;
}

/* The mapped program headers, or NULL. */
static const ElfW(Phdr) * find_phdrs(const struct dl_find_object *object, size_t *ret_count) {
    uint64_t start = (uint64_t)object->dlfo_map_start;
    const ElfW(Ehdr) *header = object->dlfo_map_start;

    if (!is_readable(start, start + sizeof *header, object) ||
        memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phnum > PHDRS_MAX ||
        header->e_phoff > (uint64_t)object->dlfo_map_end - start)
        return NULL;

    uint64_t phdrs = start + header->e_phoff;
    if ((phdrs & 7) != 0 ||
        !is_readable(phdrs, phdrs + header->e_phnum * sizeof(ElfW(Phdr)), object))
        return NULL;
    *ret_count = header->e_phnum;
    return (const ElfW(Phdr) *)phdrs;
}

/* The build-id in the mapped notes; empty where there is none. */
static TtString find_build_id(const struct dl_find_object *object, const ElfW(Phdr) * phdrs,
                              size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t at = object->dlfo_link_map->l_addr + phdrs[i].p_vaddr;
        uint64_t end = at + phdrs[i].p_memsz;
        if (phdrs[i].p_type != PT_NOTE || !is_readable(at, end, object))
            continue;

        uint64_t align = phdrs[i].p_align == 8 ? 7 : 3;
        while (end - at >= sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
            uint64_t name = at + sizeof *note;
            uint64_t text = name + ((note->n_namesz + align) & ~align);
            uint64_t next = text + ((note->n_descsz + align) & ~align);
            if (next > end + align || text > end || note->n_descsz > end - text)
                break;
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
                memcmp((const void *)name, "GNU", 4) == 0 && note->n_descsz <= TT_BUILD_ID_MAX)
                return (TtString){.text = (const char *)text, .len = note->n_descsz};
            if (next >= end)
                break;
            at = next;
        }
    }
    return (TtString){.text = "", .len = 0};
}

static TtString path_of(const struct dl_find_object *object) {
    const char *name = object->dlfo_link_map->l_name;

    if (name == NULL || *name == '\0')
        name = tt_program_path; /* the loader leaves the main program without one */
    return (TtString){.text = name, .len = strnlen(name, TT_STRING_MAX)};
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len) {
    const uint8_t *at = bytes;

    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    for (; len > 0; at++, len--)
        hash = (hash ^ *at) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

static uint64_t fingerprint_of(const struct dl_find_object *object) {
    TtString path = path_of(object), build_id;
    size_t count = 0;
    const ElfW(Phdr) *phdrs = find_phdrs(object, &count);
    uint64_t hash = hash_bytes(1, path.text, path.len);

    if (phdrs == NULL)
        return hash;
    hash = hash_bytes(hash, phdrs, count * sizeof *phdrs);
    build_id = find_build_id(object, phdrs, count);
    hash = hash_bytes(hash, build_id.text, build_id.len);
    if (build_id.len > 0)
        return hash;

    /* Without a build-id the table of functions must do: another build has other addresses. */
    uint64_t table = (uint64_t)object->dlfo_eh_frame;
    for (size_t i = 0; i < count; i++) {
        uint64_t start = object->dlfo_link_map->l_addr + phdrs[i].p_vaddr;
        uint64_t size =
            phdrs[i].p_memsz < HASHED_TABLE_BYTES ? phdrs[i].p_memsz : HASHED_TABLE_BYTES;
        if (phdrs[i].p_type == PT_GNU_EH_FRAME && start == table &&
            is_readable(table, table + size, object))
            hash = hash_bytes(hash, (const void *)table, size);
    }
    return hash;
}

/* The module that begins at @start and was seen in @epoch, or 0. */
static uint32_t find_seen(uint64_t start, uint32_t epoch) {
    uint32_t id = atomic_load_explicit(&heads[head_of(start)], memory_order_acquire);

    for (; id != 0; id = modules[id - 1].next)
        if (modules[id - 1].start == start &&
            atomic_load_explicit(&modules[id - 1].epoch, memory_order_acquire) == epoch)
            return id;
    return 0;
}

/* Whatever else was known in its place is gone. */
static void mark_gone(const Module *by, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        Module *module = &modules[i];
        if (module == by || module->is_gone || module->start >= by->end || module->end <= by->start)
            continue;
        module->is_gone = true;
        atomic_store_explicit(&module->epoch, 0, memory_order_release);
        if (module->announced != 0 && !module->is_gone_untold) {
            module->is_gone_untold = true;
            untold_count++;
        }
    }
}

/* Under the lock. */
static uint32_t find_or_add(const struct dl_find_object *object, uint64_t fingerprint) {
    uint64_t start = (uint64_t)object->dlfo_map_start, end = (uint64_t)object->dlfo_map_end;
    uint32_t count = atomic_load_explicit(&module_count, memory_order_relaxed);
    _Atomic uint32_t *head = &heads[head_of(start)];

    for (uint32_t id = atomic_load_explicit(head, memory_order_relaxed); id != 0;
         id = modules[id - 1].next) {
        Module *module = &modules[id - 1];
        if (module->start != start || module->end != end || module->fingerprint != fingerprint)
            continue;
        if (module->is_gone) {
            module->is_gone = false;
            mark_gone(module, count);
        }
        return id;
    }
    if (count == MODULES_MAX)
        return 0;

    Module *module = &modules[count];
    module->start = start;
    module->end = end;
    module->fingerprint = fingerprint;
    module->next = atomic_load_explicit(head, memory_order_relaxed);
    mark_gone(module, count);
    atomic_store_explicit(&module_count, count + 1, memory_order_relaxed);
    atomic_store_explicit(head, count + 1, memory_order_release); /* pairs with find_seen */
    return count + 1;
}

/* Where the module of an address begins, or 0. A frame of its own: the structure is a big one, and
 * the program's stack may be small. */
static __attribute__((noinline)) uint64_t start_of(uint64_t addr) {
    struct dl_find_object object;

    return tt_object_find(addr, &object) ? (uint64_t)object.dlfo_map_start : 0;
}

static __attribute__((cold, noinline)) uint64_t find_unseen(uint64_t addr, uint32_t epoch) {
    static struct dl_find_object object; /* under the lock, and off the program's stack */
    uint64_t mask;
    uint32_t id = 0;

    tt_lock_take(&lock, &mask);
    if (tt_object_find(addr, &object))
        id = find_or_add(&object, fingerprint_of(&object));
    if (id != 0)
        atomic_store_explicit(&modules[id - 1].epoch, epoch, memory_order_release);
    tt_lock_release(&lock, &mask);
    return id;
}

bool tt_modules_find(uint64_t addr, uint32_t epoch, uint64_t *ret_id) {
    uint64_t start = start_of(addr);

    if (start == 0)
        return false;
    *ret_id = find_seen(start, epoch);
    if (*ret_id == 0 && modules != NULL && !tt_is_sealed_now())
        *ret_id = find_unseen(addr, epoch);
    return true;
}

/* Of the records with which a module is announced, at most. */
enum {
    ANNOUNCE_BYTES = TT_RECORD_HEAD_BYTES + 10 * 6 + TT_STRING_MAX + TT_BUILD_ID_MAX +
                     SEGMENTS_MAX * SEGMENT_RECORD_BYTES + GONE_AT_ONCE * GONE_RECORD_BYTES,
};

size_t tt_modules_announce_bytes(uint64_t id, uint32_t session) {
    /* Pairs with the release in tt_modules_announce: then its records are published. */
    if (id == 0 || atomic_load_explicit(&modules[id - 1].told, memory_order_acquire) == session)
        return 0;
    return ANNOUNCE_BYTES + TT_STRING_MAX; /* and room to make a path absolute */
}

/* Tells of some of the modules that went; the rest with the next new one. */
static __attribute__((noinline)) void tell_gone(TtThread *thread, uint32_t session,
                                                uint64_t stamp) {
    uint32_t count = atomic_load_explicit(&module_count, memory_order_relaxed);
    uint32_t told = 0;

    for (uint32_t i = 0; i < count && untold_count > 0 && told < GONE_AT_ONCE; i++) {
        if (!modules[i].is_gone_untold)
            continue;
        modules[i].is_gone_untold = false;
        untold_count--;
        if (modules[i].announced != session)
            continue;
        TtRecordModuleGone record = {.id = i + 1, .stamp = stamp};
        thread->at += tt_encode_module_gone(thread->at, GONE_RECORD_BYTES, &record);
        told++;
    }
}

/* dlopen("./plugin.so"): the loader keeps the path as it was given, and the daemon stands
 * elsewhere.
 * @room is as large as a cut path and the folder before it. */
static TtString make_absolute(TtString path, char *room) {
    if (path.len == 0 || path.text[0] == '/' || memchr(path.text, '/', path.len) == NULL)
        return path; /* a bare name is the vdso's */
    long len = TT_SYS2(SYS_getcwd, room, TT_STRING_MAX);
    if (len <= 1 || room[0] != '/' || (size_t)len + path.len > TT_STRING_MAX)
        return path;
    room[len - 1] = '/'; /* for the terminator, which the kernel counts */
    memcpy(room + len, path.text, path.len);
    return (TtString){.text = room, .len = (size_t)len + path.len};
}

/* What is being announced: under the definitions' lock, and off the program's stack, as the frames
 * below are each kept small. */
static struct {
    struct dl_find_object object;
    TtRecordModule module;
    TtRecordSegment segment;
} announced;

static __attribute__((noinline)) void tell_module(TtThread *thread) {
    thread->at += tt_encode_module(thread->at, TT_RECORD_MAX, &announced.module);
}

static __attribute__((noinline)) void tell_segment(TtThread *thread, const ElfW(Phdr) * phdr) {
    announced.segment = (TtRecordSegment){
        .module = announced.module.id,
        .addr = announced.module.bias + phdr->p_vaddr,
        .size = phdr->p_memsz,
        .offset = phdr->p_offset,
        .flags = phdr->p_flags,
    };
    thread->at += tt_encode_segment(thread->at, SEGMENT_RECORD_BYTES, &announced.segment);
}

void tt_modules_announce(TtThread *thread, uint64_t id, uint64_t ip, uint32_t session) {
    const struct dl_find_object *object = &announced.object;
    char *room = (char *)thread->at + ANNOUNCE_BYTES; /* of the lane, not of the program's stack */
    uint64_t mask;
    size_t count = 0;

    if (!tt_object_find(ip - 1, &announced.object))
        return; /* not with an address on our own stack */
    announced.module = (TtRecordModule){.id = id, .stamp = tt_clock_stamp()};
    tt_lock_take(&lock, &mask);
    tell_gone(thread, session, announced.module.stamp);
    modules[id - 1].announced = session;
    tt_lock_release(&lock, &mask);

    const ElfW(Phdr) *phdrs = find_phdrs(object, &count);
    announced.module.path = make_absolute(path_of(object), room);
    announced.module.build_id = find_build_id(object, phdrs, count);
    announced.module.bias = object->dlfo_link_map->l_addr;
    announced.module.start = (uint64_t)object->dlfo_map_start;
    announced.module.end = (uint64_t)object->dlfo_map_end;
    tell_module(thread);
    for (size_t i = 0, told = 0; i < count && told < SEGMENTS_MAX; i++) {
        if (phdrs[i].p_type != PT_LOAD)
            continue;
        tell_segment(thread, &phdrs[i]);
        told++;
    }
    tt_lane_publish(thread);
    /* Pairs with the acquire in tt_modules_announce_bytes. */
    atomic_store_explicit(&modules[id - 1].told, session, memory_order_release);
}

/* The identities stay, but the one being added; its rules are learnt anew. */
uint32_t tt_modules_count(void) {
    return atomic_load_explicit(&module_count, memory_order_relaxed);
}

void tt_modules_after_fork(void) { tt_lock_after_fork(&lock); }
