#include <stdint.h>

#define ANSWER 42

struct pair {
    long first;
    uintptr_t second;
};
