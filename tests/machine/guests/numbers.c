/* Sieve, matrix product, recursion, bit tricks, and 64-bit arithmetic at its edges. */
#include "guest.h"

static uint8_t composite[20000];
static int64_t left[24][24], right[24][24], product[24][24];

static uint64_t primes(void) {
    uint64_t count = 0, sum = 0;
    for (int i = 2; i < (int)sizeof composite; i++) {
        if (composite[i]) continue;
        count++; sum += i;
        for (int j = 2 * i; j < (int)sizeof composite; j += i) composite[j] = 1;
    }
    return count << 32 | sum;
}

static uint64_t matrices(void) {
    uint64_t seed = 88172645463325252u, sum = 0;
    for (int i = 0; i < 24; i++)
        for (int j = 0; j < 24; j++) { left[i][j] = (int32_t)next_random(&seed); right[i][j] = (int64_t)next_random(&seed) >> 20; }
    for (int i = 0; i < 24; i++)
        for (int j = 0; j < 24; j++) {
            uint64_t cell = 0;
            for (int k = 0; k < 24; k++) cell += (uint64_t)left[i][k] * (uint64_t)right[k][j];
            product[i][j] = cell; sum = sum * 31 + cell;
        }
    return sum;
}

static uint64_t ackermann(uint64_t m, uint64_t n) {
    if (m == 0) return n + 1;
    return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

static int queens(int row, uint32_t columns, uint32_t up, uint32_t down, int size) {
    int found = 0;
    if (row == size) return 1;
    for (uint32_t free = ~(columns | up | down) & ((1u << size) - 1); free; free &= free - 1) {
        uint32_t one = free & -free;
        found += queens(row + 1, columns | one, (up | one) << 1, (down | one) >> 1, size);
    }
    return found;
}

static const uint64_t edges[] = {
    0, 1, 2, 3, 7, 10, 63, 64, 0x7fffffff, 0x80000000u, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000u,
    0xffffffffffffffff, 0xfffffffffffffffe, 0x123456789abcdef0, 0xaaaaaaaaaaaaaaaau,
};
#define EDGES (int)(sizeof edges / sizeof *edges)

static uint64_t arithmetic(void) {
    uint64_t sum = 0;
    for (int i = 0; i < EDGES; i++)
        for (int j = 0; j < EDGES; j++) {
            volatile uint64_t va = edges[i], vb = edges[j];
            uint64_t a = va, b = vb;
            unsigned __int128 wide = (unsigned __int128)a * b;
            __int128 both = (__int128)(int64_t)a * (int64_t)b;
            sum = sum * 1000003 + (uint64_t)wide + (uint64_t)(wide >> 64) * 3 + (uint64_t)(both >> 64) * 5;
            if (b) sum = sum * 31 + a / b + (a % b) * 7;
            if (b && !(a == 1ull << 63 && b == ~0ull)) sum = sum * 31 + (uint64_t)((int64_t)a / (int64_t)b) + (uint64_t)((int64_t)a % (int64_t)b);
            uint32_t c = a, d = b;
            if (d) sum = sum * 31 + c / d + c % d;
            if (d && !(c == 1u << 31 && d == ~0u)) sum = sum * 31 + (uint64_t)(int64_t)((int32_t)c / (int32_t)d) + (uint64_t)(int64_t)((int32_t)c % (int32_t)d);
            sum += (a << (b & 63)) ^ (a >> (b & 63)) ^ (uint64_t)((int64_t)a >> (b & 63)) ^ (uint64_t)(int64_t)(int32_t)(c << (d & 31)) ^ (c >> (d & 31));
            sum += (a < b) + ((int64_t)a < (int64_t)b) * 2 + (c < d) * 4 + ((int32_t)c < (int32_t)d) * 8;
        }
    return sum;
}

/* Division without the instruction, as a library for small machines does it. */
static uint64_t divide_slowly(uint64_t a, uint64_t b, uint64_t *rest) {
    uint64_t quotient = 0, remainder = 0;
    for (int bit = 63; bit >= 0; bit--) {
        remainder = remainder << 1 | (a >> bit & 1);
        if (remainder >= b) { remainder -= b; quotient |= 1ull << bit; }
    }
    *rest = remainder;
    return quotient;
}

static uint64_t divisions(void) {
    uint64_t seed = 12345, wrong = 0;
    for (int i = 0; i < 40; i++) {
        uint64_t a = next_random(&seed), b = next_random(&seed) >> (i % 60) | 1, rest;
        if (divide_slowly(a, b, &rest) != a / b || rest != a % b) wrong++;
    }
    return wrong;
}

static uint64_t bit_tricks(void) {
    uint64_t seed = 99, sum = 0;
    for (int i = 0; i < 300; i++) {
        uint64_t v = next_random(&seed) >> (i % 64), reversed = 0, gray = v ^ v >> 1;
        for (int bit = 0; bit < 64; bit++) reversed |= (v >> bit & 1) << (63 - bit);
        sum += __builtin_popcountll(v) + __builtin_bswap64(v) + __builtin_parityll(v) + reversed + gray;
        sum += (v ? __builtin_clzll(v) * 3 + __builtin_ctzll(v) * 5 : 64) + (v << 7 | v >> 57);
    }
    return sum;
}

int run(void) {
    tell("primes", primes());
    tell("matrices", matrices());
    tell("ackermann", ackermann(2, 20));
    tell("queens", queens(0, 0, 0, 0, 7));
    tell("arithmetic", arithmetic());
    tell("divisions", divisions());
    tell("bits", bit_tricks());
    return 0;
}
