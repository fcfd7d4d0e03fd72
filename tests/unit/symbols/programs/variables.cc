/* SPDX-License-Identifier: Apache-2.0 */
#include "variables.h"

#include <memory>
#include <string>
#include <vector>

namespace shop {
inline namespace v2 {
struct Item {
    Item *next;
    std::string name;
    struct Part {
        Item *owner;
    };
    Part *part;
    void grow();
};
} // namespace v2

template <class T> struct Box : Item { T *content; };

namespace {
struct Hidden {
    int number;
};
} // namespace
} // namespace shop

enum class Color { Red };

__attribute__((noinline)) void shop::Item::grow() {
    IS(this, "shop::Item *");
    IS(this->next, "shop::Item *");
}

__attribute__((noinline)) static void look(shop::Item &item, std::vector<int> *numbers,
                                           shop::Item *const &list) {
    shop::Item *first = &item;
    shop::Item::Part *part = item.part;
    shop::Box<std::vector<double>> real_box = {}, *box = &real_box;
    std::vector<char> *names = nullptr;
    std::unique_ptr<int> owner;
    shop::Hidden *hidden = nullptr;
    Color *color = nullptr;
    const shop::Item *fixed = first;
    int (*function)(shop::Item &, const char *) = nullptr;

    IS(first, "shop::Item *");
    IS(list, "shop::Item *");
    IS(part, "shop::Item::Part *");
    IS(part->owner, "shop::Item *");
    IS(item.next, "shop::Item *");
    IS(numbers, "std::vector<int> *");
    IS(names, "std::vector<char> *");
    IS(box, "shop::Box<std::vector<double>> *");
    IS(box->content, "std::vector<double> *");
    IS(box->next, "shop::Item *");
    log_it(first, "owner", "std::unique_ptr<int>");
    IS(hidden, "shop::(anonymous namespace)::Hidden *");
    IS(color, "Color *");
    IS(fixed, "const shop::Item *");
    IS(function, "int (*)(shop::Item &, const char *)");
    sink += owner != nullptr;
}

int main() {
    shop::Item item = {};
    shop::Item::Part part = {&item};
    std::vector<int> numbers = {1, 2, 3};

    item.part = &part;
    item.grow();
    look(item, &numbers, &item);
    auto work = [&item](const char *word) {
        IS(word, "const char *");
        sink += item.next != nullptr;
    };
    work("word");
    return 0;
}
