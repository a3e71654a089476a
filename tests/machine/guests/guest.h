/* What every guest program has: fixed-size numbers, and a way to say what it found. Compiled for the board and for the host. */
#ifndef GUEST_H
#define GUEST_H
#include <stddef.h>
#include <stdint.h>

void put(char character);
int run(void);

static inline void text(const char *s) { while (*s) put(*s++); }

static inline void hex(uint64_t value) {
    for (int shift = 60; shift >= 0; shift -= 4) put("0123456789abcdef"[value >> shift & 15]);
}

/* One line: a name and a number. */
static inline void tell(const char *name, uint64_t value) { text(name); put(' '); hex(value); put('\n'); }

/* A sequence that is the same everywhere. */
static inline uint64_t next_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13; x ^= x >> 7; x ^= x << 17;
    return *state = x;
}
#endif
