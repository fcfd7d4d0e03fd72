/* SPDX-License-Identifier: Apache-2.0 */
/* Calls malloc, realloc and free with the stack pointer at every multiple of 8 in turn, with MXCSR
 * and the x87 unit set as nobody would, and all of the latter's registers in use. Exit status 5
 * where each call left them as they were. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct State {
    uint32_t mxcsr;
    uint16_t control;
} State;

/* Round towards zero, flush to zero, denormals are zero, all exceptions masked, all flags set. */
static const State odd = {.mxcsr = 0xffff, .control = 0x0c7f};

/* function(a, b) with the stack pointer lowered by @lowered bytes to an odd multiple of 8, say. */
static void *call_at(void *function, void *a, size_t b, size_t lowered) {
    void *result;

    __asm__ volatile("mov %%rsp, %%rbx\n"
                     "and $-64, %%rsp\n"
                     "sub $256, %%rsp\n"
                     "sub %[lowered], %%rsp\n"
                     "call *%[function]\n"
                     "mov %%rbx, %%rsp\n"
                     : "=a"(result), "+D"(a), "+S"(b)
                     : [lowered] "r"(lowered), [function] "r"(function)
                     : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0",
                       "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    return result;
}

static void set(const State *state) {
    __asm__ volatile("ldmxcsr %0\nfninit\nfldcw %1" : : "m"(state->mxcsr), "m"(state->control));
    __asm__ volatile("fld1\nfldpi\nfldl2e\nfldl2t\nfldln2\nfldlg2\nfld1\nfldpi");
}

/* Takes the eight numbers off again. */
static int is_kept(const State *state) {
    State now;
    long double numbers[8];

    __asm__ volatile("stmxcsr %0\nfnstcw %1" : "=m"(now.mxcsr), "=m"(now.control));
    for (int i = 0; i < 8; i++)
        __asm__ volatile("fstpt %0" : "=m"(numbers[i]));
    __asm__ volatile("fninit");
    __asm__ volatile("ldmxcsr %0" : : "m"((uint32_t){0x1f80}));
    return now.mxcsr == state->mxcsr && now.control == state->control &&
           memcmp(&numbers[0], &numbers[6], 10) == 0 && memcmp(&numbers[1], &numbers[7], 10) == 0 &&
           numbers[7] == 1.0L;
}

int main(void) {
    for (size_t i = 0; i < 100000; i++) {
        size_t lowered = i % 8 * 8;

        set(&odd);
        void *block = call_at((void *)malloc, (void *)(i % 3000), 0, lowered);
        block = call_at((void *)realloc, block, i % 5000 + 1, lowered);
        call_at((void *)free, block, 0, lowered);
        if (!is_kept(&odd)) {
            fprintf(stderr, "round %zu: the state has changed\n", i);
            return 1;
        }
    }
    return 5;
}
