/* SPDX-License-Identifier: Apache-2.0 */
/* As chains.c, in C++: templates, inlining, virtual calls, exceptions, containers. A name in the
 * expected chain is what a demangled one begins with, up to its parameters. */
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#define NOINLINE __attribute__((noinline))
#define STAY() __asm__ volatile("" ::: "memory")

void *volatile kept;

namespace work {

template <typename T, int N> NOINLINE void leak_array() {
    kept = new T[N];
    STAY();
}

/* Always inlined: a frame without a return address of its own. */
template <typename T> inline __attribute__((always_inline)) void inlined_leak(int count) {
    kept = std::malloc(sizeof(T) * static_cast<size_t>(count));
    STAY();
}
NOINLINE void calls_inlined() {
    inlined_leak<long>(9001);
    STAY();
}

struct Base {
    virtual ~Base() = default;
    virtual void run() = 0;
};
struct Derived : Base {
    NOINLINE void run() override;
};
void Derived::run() {
    kept = ::operator new(72003);
    STAY();
}
NOINLINE void dispatch(Base &base) {
    base.run();
    STAY();
}

NOINLINE void thrower(int depth) {
    std::string local(100, 'x');
    if (depth == 0)
        throw std::runtime_error("on purpose");
    thrower(depth - 1);
    STAY();
}
NOINLINE void catches() {
    try {
        thrower(100);
    } catch (const std::exception &) {
        kept = std::malloc(72004);
    }
    STAY();
}

NOINLINE void vector_grows() {
    auto *numbers = new std::vector<char>;
    numbers->reserve(72005);
    kept = numbers;
    STAY();
}

NOINLINE void lambda_runs(const std::function<void()> &function) {
    function();
    STAY();
}

} // namespace work

int main() {
    std::puts("72001 ~ work::leak_array<char,72001> main");
    std::puts("72008 work::inlined_leak<long> work::calls_inlined main");
    std::puts("72003 ~ work::Derived::run work::dispatch main");
    std::puts("72004 work::catches main");
    std::puts("72005 ~ work::vector_grows main");
    std::puts("72006 ~ work::lambda_runs main");
    std::fflush(stdout);

    work::leak_array<char, 72001>();
    work::calls_inlined();
    work::Derived derived;
    work::dispatch(derived);
    work::catches();
    work::vector_grows();
    work::lambda_runs([] {
        kept = std::malloc(72006);
        STAY();
    });
    return 0;
}
